"""YOLOv8n (Jocher et al. 2023) without what makes boxes of its outputs; needs torch."""

from __future__ import annotations

import torch
from torch import nn

from .detectors import SIDE

CLASSES = 80
_STRIDES, _BINS = (8, 16, 32), 16


def conv(before: int, after: int, kernel: int = 1, stride: int = 1) -> nn.Module:
    """With normalisation and activation."""
    layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after, eps=1e-3), nn.SiLU())


class Bottleneck(nn.Module):
    """Two convolutions, to which their input is added."""

    def __init__(self, width: int, adds: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv(width, width, 3), conv(width, width, 3))
        self.adds = adds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        return x + self.layers(x) if self.adds else self.layers(x)


class Stage(nn.Module):
    """C2f: a part of the channels goes through blocks, and all of them are merged."""

    def __init__(self, before: int, after: int, count: int, adds: bool) -> None:
        super().__init__()
        half = after // 2
        self.split = conv(before, after)
        self.blocks = nn.ModuleList(Bottleneck(half, adds) for _ in range(count))
        self.merge = conv((2 + count) * half, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        parts = list(self.split(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.merge(torch.cat(parts, 1))


class Pyramid(nn.Module):
    """SPPF: poolings one after the other, merged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.after = conv(width, width // 2), conv(2 * width, width)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        parts = [self.before(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.after(torch.cat(parts, 1))


class Yolo(nn.Module):
    """Boxes [batch, places, 4] as corners in pixels, and scores [batch, places, classes]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), Stage(32, 32, 1, True))
        self.down = nn.ModuleList(
            [
                nn.Sequential(conv(32, 64, 3, 2), Stage(64, 64, 2, True)),
                nn.Sequential(conv(64, 128, 3, 2), Stage(128, 128, 2, True)),
                nn.Sequential(conv(128, 256, 3, 2), Stage(256, 256, 1, True), Pyramid(256)),
            ]
        )
        self.up = nn.ModuleList([Stage(384, 128, 1, False), Stage(192, 64, 1, False)])
        self.twice = nn.Upsample(scale_factor=2.0)
        self.narrow = nn.ModuleList([conv(64, 64, 3, 2), conv(128, 128, 3, 2)])
        self.merge = nn.ModuleList([Stage(192, 128, 1, False), Stage(384, 256, 1, False)])
        widths = (64, 128, 256)
        self.sides = nn.ModuleList(
            nn.Sequential(conv(w, 64, 3), conv(64, 64, 3), nn.Conv2d(64, 4 * _BINS, 1))
            for w in widths
        )
        self.kinds = nn.ModuleList(
            nn.Sequential(conv(w, CLASSES, 3), conv(CLASSES, CLASSES, 3)) for w in widths
        )
        self.heads = nn.ModuleList(nn.Conv2d(CLASSES, CLASSES, 1) for _ in widths)
        places, strides = _grid()
        self.register_buffer("places", places)
        self.register_buffer("strides", strides)
        self.register_buffer("distances", torch.arange(_BINS, dtype=torch.float32))
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.2)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As the class says."""
        x, levels = self.stem(image), []
        for down in self.down:
            x = down(x)
            levels.append(x)
        small, middle, large = levels
        middle = self.up[0](torch.cat([self.twice(large), middle], 1))
        small = self.up[1](torch.cat([self.twice(middle), small], 1))
        middle = self.merge[0](torch.cat([self.narrow[0](small), middle], 1))
        large = self.merge[1](torch.cat([self.narrow[1](middle), large], 1))
        levels = [small, middle, large]
        sides = torch.cat([f(x).flatten(2) for f, x in zip(self.sides, levels, strict=True)], 2)
        kinds = [
            head(f(x)).flatten(2) for f, head, x in zip(self.kinds, self.heads, levels, strict=True)
        ]
        shares = sides.unflatten(1, (4, _BINS)).softmax(2)
        near, far = torch.einsum("bsdp,d->bps", shares, self.distances).chunk(2, 2)
        corners = torch.cat([self.places - near, self.places + far], 2) * self.strides
        return corners, torch.cat(kinds, 2).transpose(1, 2).sigmoid()


def _grid() -> tuple[torch.Tensor, torch.Tensor]:
    """The middle of each place in units of its stride, and the strides."""
    places, strides = [], []
    for stride in _STRIDES:
        middle = torch.arange(SIDE // stride) + 0.5
        rows, columns = torch.meshgrid(middle, middle, indexing="ij")
        places.append(torch.stack([columns, rows], -1).reshape(-1, 2))
        strides.append(torch.full((len(places[-1]), 1), float(stride)))
    return torch.cat(places), torch.cat(strides)
