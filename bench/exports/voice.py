"""A detector of voice with a branch for each rate; needs torch, which compiles the source of it."""

import torch
from torch import nn

from bench.architectures import SEED, Network

SAMPLES = 512
HIGH, LOW = 16_000, 8_000  # Hz
_WIDTH = 128


class OneRate(nn.Module):
    """Of sound [batch, samples] and the state of the LSTM [2, batch, 128], the share of voice in it
    [batch, 1] and the next state: a spectrum by a convolution, four more, and the LSTM."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.pad, bins = window // 4, window // 2 + 1
        self.spectrum = nn.Conv1d(1, 2 * bins, window, window // 2, bias=False)
        self.features = nn.Sequential(
            nn.Conv1d(bins, 128, 3, padding=1), nn.ReLU(),
            nn.Conv1d(128, 64, 3, 2, padding=1), nn.ReLU(),
            nn.Conv1d(64, 64, 3, 2, padding=1), nn.ReLU(),
            nn.Conv1d(64, _WIDTH, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.layer = nn.LSTM(_WIDTH, _WIDTH)
        self.head = nn.Conv1d(_WIDTH, 1, 1)

    def forward(
        self, sound: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As the class says."""
        padded = nn.functional.pad(sound, (self.pad, self.pad), mode="reflect")
        real, imaginary = self.spectrum(padded.unsqueeze(1)).chunk(2, 1)
        x = self.features(torch.sqrt(real * real + imaginary * imaginary))
        y, after = self.layer(x.permute(2, 0, 1), (state[:1], state[1:]))
        shares = torch.sigmoid(self.head(torch.relu(y.permute(1, 2, 0))))
        return shares.mean(2), torch.cat(after)


class Detector(nn.Module):
    """Two of these, of which the rate says which."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = HIGH
        example = torch.zeros(2, SAMPLES), torch.zeros(2, 2, _WIDTH)
        self.high = torch.jit.trace(OneRate(256).eval(), example)
        self.low = torch.jit.trace(OneRate(128).eval(), example)

    def forward(
        self, sound: torch.Tensor, state: torch.Tensor, rate: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As ``OneRate``'s, the rate in Hz."""
        if rate == self.rate:
            share, after = self.high(sound, state)
        else:
            share, after = self.low(sound, state)
        return share, after


def voice_detector() -> Network:
    """Whether somebody speaks, after Silero's: a network for each rate, of which ``If`` takes one,
    with the state of its LSTM in and out."""
    torch.manual_seed(SEED)
    inputs = torch.zeros(2, SAMPLES), torch.zeros(2, 2, _WIDTH), torch.tensor(HIGH)
    names = ("sound", "state", "rate"), ("share", "state_after")
    sizes = {0: "batch", 1: "samples"}, {1: "batch"}, {}
    return Network(torch.jit.script(Detector().eval()), inputs, *names, sizes)
