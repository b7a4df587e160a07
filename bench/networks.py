"""Networks that no library here defines, as their papers do; needs torch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

DLRM_DENSE = 13
DLRM_TABLES = 26
DLRM_ROWS = 10_000
DLRM_WIDTH = 64


def unet(classes: int = 2, width: int = 32) -> Any:
    """U-Net (Ronneberger et al. 2015), padded, with batch norms; four levels."""
    import torch
    from torch import nn

    def block(before: int, after: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for channels in (before, after):
            layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [width << i for i in range(5)]
            self.down = nn.ModuleList(
                block(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True)
            )
            pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
            self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairs)
            self.merge = nn.ModuleList(block(2 * b, b) for _, b in pairs)
            self.pool = nn.MaxPool2d(2)
            self.head = nn.Conv2d(width, classes, 1)

        def forward(self, x: Any) -> Any:
            kept = []
            for i, down in enumerate(self.down):
                x = down(self.pool(x) if i else x)
                kept.append(x)
            kept.pop()
            for up, merge in zip(self.up, self.merge, strict=True):
                x = merge(torch.cat([up(x), kept.pop()], 1))
            return self.head(x)

    return UNet()


def dlrm() -> Any:
    """DLRM (Naumov et al. 2019): two perceptrons, embeddings, and their dot products in between."""
    import torch
    from torch import nn

    def perceptron(*sizes: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    class Dlrm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            vectors = DLRM_TABLES + 1
            self.tables = nn.ModuleList(
                nn.Embedding(DLRM_ROWS, DLRM_WIDTH) for _ in range(DLRM_TABLES)
            )
            self.bottom = perceptron(DLRM_DENSE, 512, 256, DLRM_WIDTH)
            self.top = perceptron(DLRM_WIDTH + vectors * (vectors - 1) // 2, 512, 256, 1)
            rows, columns = torch.tril_indices(vectors, vectors, -1)
            self.register_buffer("pairs", rows * vectors + columns)

        def forward(self, dense: Any, indices: Any) -> Any:
            x = torch.relu(self.bottom(dense))
            found = [table(indices[:, i]) for i, table in enumerate(self.tables)]
            vectors = torch.stack([x, *found], 1)
            products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
            return torch.sigmoid(self.top(torch.cat([x, products[:, self.pairs]], 1)))

    return Dlrm()


def decoder(layers: int = 12, heads: int = 12, width: int = 768, vocabulary: int = 50257) -> Any:
    """GPT-2 (Radford et al. 2019) over a cache: keys and values so far, and with the new tokens'.

    Takes ids and positions [1, tokens], then keys and values of each layer [1, heads, past, depth];
    gives the last token's logits, then these with the tokens' own.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
            self.heads, self.merged = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any, mask: Any, past: tuple[Any, Any]) -> tuple[Any, tuple[Any, Any]]:
            parts = self.heads(self.before(x)).chunk(3, -1)
            split = [p.unflatten(-1, (heads, -1)).transpose(1, 2) for p in parts]
            cache = tuple(
                torch.cat([old, new], 2) for old, new in zip(past, split[1:], strict=True)
            )
            y = functional.scaled_dot_product_attention(split[0], *cache, attn_mask=mask)
            x = x + self.merged(y.transpose(1, 2).flatten(2))
            wide = functional.gelu(self.up(self.between(x)), approximate="tanh")
            return x + self.down(wide), cache

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(1024, width)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.norm = nn.LayerNorm(width)

        def forward(self, ids: Any, positions: Any, *past: Any) -> tuple[Any, ...]:
            x = self.words(ids) + self.places(positions)
            before, tokens = past[0].shape[2], ids.shape[1]
            queries = torch.arange(before, before + tokens).unsqueeze(1)
            mask = torch.arange(before + tokens).unsqueeze(0) <= queries
            caches: list[Any] = []
            for i, layer in enumerate(self.layers):
                x, cache = layer(x, mask, past[2 * i : 2 * i + 2])
                caches += cache
            logits = functional.linear(self.norm(x[:, -1:]), self.words.weight)
            return logits, *caches

    return Decoder()
