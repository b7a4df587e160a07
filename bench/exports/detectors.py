"""Detectors with what makes boxes of their outputs, with seeded weights; needs torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.architectures import SEED, Network, wrapped

from .calibration import calibrate

SIDE = 640
_LEAST_SCORE, _OVERLAP, _MOST = 0.25, 0.45, 300
_SHARE = 0.01  # of all places whose best score is above the least


def yolo() -> Network:
    """A detector after YOLOv8n (Jocher et al. 2023) at 640 x 640, and, as its exporter writes them,
    the boxes that non-maximum suppression leaves: [300, 6], corners in parts of the side, score
    and class; zeros after the last."""
    import torch
    import torchvision

    from .yolo_network import Yolo

    torch.manual_seed(SEED)
    model = Yolo()
    _, scores = calibrate(model, torch.from_numpy(picture()))
    _let_few_pass(model, scores)

    def run(image: Any) -> Any:
        boxes, scores = model(image)
        scores, classes = scores[0].max(1)
        kept = scores > _LEAST_SCORE
        boxes, scores, classes = boxes[0][kept], scores[kept], classes[kept]
        apart = boxes + classes.unsqueeze(1) * (2.0 * SIDE)  # classes do not suppress each other
        places = torchvision.ops.nms(apart, scores, _OVERLAP)[:_MOST]
        parts = (
            boxes[places] / SIDE,
            scores[places].unsqueeze(1),
            classes[places].unsqueeze(1).float(),
        )
        found = torch.cat(parts, 1)
        return torch.nn.functional.pad(found, (0, 0, 0, _MOST - found.shape[0]))

    image = torch.zeros(1, 3, SIDE, SIDE)
    return Network(wrapped(run, model), (image,), ("image",), ("boxes",))


def picture() -> NDArray[np.float32]:
    """An image of which few places have a high score; of others many may."""
    shape = (1, 3, SIDE, SIDE)
    return np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)


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


def _let_few_pass(model: Any, scores: Any) -> None:
    """Shift the heads, so that few places have a high score, as of a trained detector."""
    import torch

    best = scores.max(2).values.flatten().sort().values
    least = best[round((1 - _SHARE) * len(best))]
    with torch.no_grad():
        for head in model.heads:
            head.bias += torch.logit(torch.tensor(_LEAST_SCORE)) - torch.logit(least)
