"""Sliding windows over channels-last images: which places they have, and pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..ir.dtype import DTYPES
from ..ir.workload import Node, Tensor
from .operator import Anchor, Array


class Pool(Anchor):
    """x[N,H,W,C]; kernel, strides, pads (top, left, bottom, right), dilations."""


def places(size: int, kernel: int, stride: int, dilation: int, pads: int) -> int:
    """Number of places of a sliding window."""
    return (size + pads - dilation * (kernel - 1) - 1) // stride + 1


def windows(x: Array, node: Node, kernel: tuple[int, int], fill: float) -> Array:
    """[N, OH, OW, C, KH, KW] of the padded input; places beyond the pads hold ``fill`` too."""
    top, left, *_ = node.attr("pads")
    (sh, sw), (dh, dw) = node.attr("strides"), node.attr("dilations")
    _, rows, columns, _ = node.out.shape
    high = (rows - 1) * sh + (kernel[0] - 1) * dh + 1
    wide = (columns - 1) * sw + (kernel[1] - 1) * dw + 1
    below, right = max(0, high - top - x.shape[1]), max(0, wide - left - x.shape[2])
    padded = np.pad(
        x, ((0, 0), (top, below), (left, right), (0, 0)), constant_values=_fill(x, fill)
    )
    padded = padded[:, :high, :wide]
    span = ((kernel[0] - 1) * dh + 1, (kernel[1] - 1) * dw + 1)
    view = sliding_window_view(padded, span, axis=(1, 2))
    return view[:, ::sh, ::sw, :, ::dh, ::dw]


def _fill(x: Array, fill: float) -> Any:
    if x.dtype.kind == "f" or math.isfinite(fill):
        return fill
    return np.iinfo(x.dtype).min


def _max_pool2d(node: Node, x: Array) -> Array:
    wide = x.astype(DTYPES[x.dtype.name].computed.numpy, copy=False)
    found = windows(wide, node, node.attr("kernel"), -math.inf).max(axis=(4, 5))
    return np.asarray(found, x.dtype)


def _avg_pool2d(node: Node, x: Array) -> Array:
    total = windows(x, node, node.attr("kernel"), 0.0).sum(axis=(4, 5))
    if node.attr("count_include_pad"):
        return np.asarray(total / math.prod(node.attr("kernel")))
    ones = np.ones((1, *x.shape[1:3], 1), x.dtype)
    taps = windows(ones, node, node.attr("kernel"), 0.0).sum(axis=(4, 5))
    return np.asarray(total / taps)


def _count(node: Node, args: Sequence[Tensor]) -> int:
    window = zip(node.attr("kernel"), args[0].shape[1:3], strict=True)  # no larger than the input
    return node.out.size * math.prod(min(int(k), n) for k, n in window) // 2 * 2


OPERATORS = (
    Pool("max_pool2d", 1, _max_pool2d, count=_count),
    Pool("avg_pool2d", 1, _avg_pool2d, count=_count),  # count_include_pad, too
)
