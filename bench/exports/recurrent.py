"""Recurrent networks with seeded weights; needs torch."""

from __future__ import annotations

from typing import Any

from bench.architectures import SEED, Network, wrapped

from .calibration import calibrate

TAGS, WORDS = 17, 20_000
VOCABULARY = 10_000
CHARACTERS = 37


def lstm_tagger() -> Network:
    """A tagger of words (Huang et al. 2015): two bidirectional LSTMs over sentences of any length,
    longest first."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(WORDS, 128)
            self.layers = nn.LSTM(128, 256, num_layers=2, bidirectional=True, batch_first=True)
            self.head = nn.Linear(512, TAGS)

        def forward(self, words: Any, lengths: Any) -> Any:
            packed = pack_padded_sequence(self.words(words), lengths, batch_first=True)
            x, _ = pad_packed_sequence(self.layers(packed)[0], batch_first=True)
            return torch.log_softmax(self.head(x), -1)

    torch.manual_seed(SEED)
    inputs = torch.zeros(3, 7, dtype=torch.long), torch.tensor([7, 5, 2])
    names = ("words", "lengths"), ("tags",)
    return Network(Tagger(), inputs, *names, ({0: "batch", 1: "tokens"}, {0: "batch"}))


def gru_language_model() -> Network:
    """A language model of two GRUs, with their states in and out."""
    import torch
    from torch import nn

    class LanguageModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(VOCABULARY, 512)
            self.layers = nn.GRU(512, 512, num_layers=2, batch_first=True)
            self.head = nn.Linear(512, VOCABULARY)
            self.head.weight = self.words.weight

        def forward(self, words: Any, states: Any) -> tuple[Any, Any]:
            x, after = self.layers(self.words(words), states)
            return self.head(x), after

    torch.manual_seed(SEED)
    inputs = torch.zeros(3, 7, dtype=torch.long), torch.zeros(2, 3, 512)
    sizes = {0: "batch", 1: "tokens"}, {1: "batch"}
    model = LanguageModel()
    module = wrapped(model, model)
    return Network(module, inputs, ("words", "h_in"), ("logits", "h_out"), sizes)


def crnn() -> Network:
    """CRNN (Shi et al. 2015), which reads a line of text of 32 pixels' height."""
    import torch
    from torch import nn

    def block(before: int, after: int, *more: nn.Module, kernel: int = 3) -> list[nn.Module]:
        return [nn.Conv2d(before, after, kernel, padding=kernel // 2), *more, nn.ReLU()]

    class Crnn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            flat = nn.MaxPool2d((2, 2), (2, 1), (0, 1))
            self.features = nn.Sequential(
                *block(1, 64), nn.MaxPool2d(2),
                *block(64, 128), nn.MaxPool2d(2),
                *block(128, 256, nn.BatchNorm2d(256)), *block(256, 256), flat,
                *block(256, 512, nn.BatchNorm2d(512)), *block(512, 512), flat,
                nn.Conv2d(512, 512, 2), nn.BatchNorm2d(512), nn.ReLU(),
            )  # fmt: skip
            self.layers = nn.LSTM(512, 256, num_layers=2, bidirectional=True)
            self.head = nn.Linear(512, CHARACTERS)

        def forward(self, image: Any) -> Any:
            columns = self.features(image).squeeze(2).permute(2, 0, 1)
            return torch.log_softmax(self.head(self.layers(columns)[0]), -1)

    torch.manual_seed(SEED)
    model, image = Crnn(), torch.zeros(2, 1, 32, 100)
    calibrate(model, torch.randn(8, 1, 32, 100))
    module, sizes = wrapped(model, model), {0: "batch", 3: "width"}
    return Network(module, (image,), ("image",), ("characters",), (sizes,))
