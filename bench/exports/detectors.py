"""Detectors with what makes boxes of their outputs, with seeded weights; needs torch."""

from __future__ import annotations

from typing import Any

from bench.architectures import SEED, Network, wrapped

from .calibration import calibrate

CLASSES, SIDE = 80, 640
_STRIDES, _BINS = (8, 16, 32), 16
_LEAST_SCORE, _OVERLAP, _MOST = 0.25, 0.45, 300
_SHARE = 0.01  # of all places whose best score is above the least


def yolo() -> Network:
    """A detector after YOLOv8n (Jocher et al. 2023) at 640 x 640, and, as its exporter writes them,
    the boxes that non-maximum suppression leaves: [300, 6], zeros after the last."""
    import torch
    import torchvision

    torch.manual_seed(SEED)
    model = _yolo()
    _, scores = calibrate(model, torch.randn(1, 3, SIDE, SIDE))
    _let_few_pass(model, scores)

    def run(image: Any) -> Any:
        boxes, scores = model(image)
        scores, classes = scores[0].max(1)
        kept = scores > _LEAST_SCORE
        boxes, scores, classes = boxes[0][kept], scores[kept], classes[kept]
        apart = boxes + classes.unsqueeze(1) * (2.0 * SIDE)  # classes do not suppress each other
        places = torchvision.ops.nms(apart, scores, _OVERLAP)[:_MOST]
        parts = boxes[places], scores[places].unsqueeze(1), classes[places].unsqueeze(1).float()
        found = torch.cat(parts, 1)
        return torch.nn.functional.pad(found, (0, 0, 0, _MOST - found.shape[0]))

    image = torch.zeros(1, 3, SIDE, SIDE)
    return Network(wrapped(run, model), (image,), ("image",), ("boxes",))


def detr() -> Network:
    """DETR (Carion et al. 2020) with ResNet-50 at 480 x 640."""
    import torch
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    torch.manual_seed(SEED)
    backbone = ResNetConfig(out_features=["stage4"])
    config = DetrConfig(backbone_config=backbone, num_labels=91)
    model = DetrForObjectDetection(config).eval()
    calibrate(model, torch.randn(1, 3, 480, 640))

    def run(image: Any) -> Any:
        result = model(image)
        return result.logits, result.pred_boxes

    image = torch.zeros(1, 3, 480, 640)
    return Network(wrapped(run, model), (image,), ("pixel_values",), ("logits", "pred_boxes"))


def _yolo() -> Any:
    """Boxes [batch, places, 4] as corners in pixels, and scores [batch, places, classes]."""
    import torch
    from torch import nn

    def conv(before: int, after: int, kernel: int = 1, stride: int = 1) -> nn.Module:
        layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(after, eps=1e-3), nn.SiLU())

    class Bottleneck(nn.Module):
        def __init__(self, width: int, adds: bool) -> None:
            super().__init__()
            self.layers = nn.Sequential(conv(width, width, 3), conv(width, width, 3))
            self.adds = adds

        def forward(self, x: Any) -> Any:
            return x + self.layers(x) if self.adds else self.layers(x)

    class Stage(nn.Module):
        def __init__(self, before: int, after: int, count: int, adds: bool) -> None:
            super().__init__()
            half = after // 2
            self.split = conv(before, after)
            self.blocks = nn.ModuleList(Bottleneck(half, adds) for _ in range(count))
            self.merge = conv((2 + count) * half, after)

        def forward(self, x: Any) -> Any:
            parts = list(self.split(x).chunk(2, 1))
            for block in self.blocks:
                parts.append(block(parts[-1]))
            return self.merge(torch.cat(parts, 1))

    class Pyramid(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.before, self.after = conv(width, width // 2), conv(2 * width, width)
            self.pool = nn.MaxPool2d(5, 1, 2)

        def forward(self, x: Any) -> Any:
            parts = [self.before(x)]
            for _ in range(3):
                parts.append(self.pool(parts[-1]))
            return self.after(torch.cat(parts, 1))

    class Yolo(nn.Module):
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
            places, strides = _grid(SIDE)
            self.register_buffer("places", places)
            self.register_buffer("strides", strides)
            self.register_buffer("distances", torch.arange(_BINS, dtype=torch.float32))

        def forward(self, image: Any) -> Any:
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
            sides = torch.cat([f(x).flatten(2) for f, x in zip(self.sides, levels)], 2)
            kinds = [head(f(x)).flatten(2) for f, head, x in zip(self.kinds, self.heads, levels)]
            shares = sides.unflatten(1, (4, _BINS)).softmax(2)
            near, far = torch.einsum("bsdp,d->bps", shares, self.distances).chunk(2, 2)
            corners = torch.cat([self.places - near, self.places + far], 2) * self.strides
            return corners, torch.cat(kinds, 2).transpose(1, 2).sigmoid()

    model = Yolo()
    for head in model.heads:
        nn.init.normal_(head.weight, std=0.2)
    return model


def _grid(side: int) -> tuple[Any, Any]:
    """The middle of each place in units of its stride, and the strides."""
    import torch

    places, strides = [], []
    for stride in _STRIDES:
        middle = torch.arange(side // stride) + 0.5
        rows, columns = torch.meshgrid(middle, middle, indexing="ij")
        places.append(torch.stack([columns, rows], -1).reshape(-1, 2))
        strides.append(torch.full((len(places[-1]), 1), float(stride)))
    return torch.cat(places), torch.cat(strides)


def _let_few_pass(model: Any, scores: Any) -> None:
    """Shift the heads, so that few places have a high score, as of a trained detector."""
    import torch

    best = scores.max(2).values.flatten().sort().values
    least = best[round((1 - _SHARE) * len(best))]
    with torch.no_grad():
        for head in model.heads:
            head.bias += torch.logit(torch.tensor(_LEAST_SCORE)) - torch.logit(least)
