"""Averages and enlargements by windows as sums of products of what is stored."""

from __future__ import annotations

import math

import numpy as np

from luthier.schedules import Node, Tensor
from luthier.schedules.ops.windows import places

from .canvas import Canvas
from .image import Image, along_one, number
from .products import MOST, is_exact, is_ordinary, narrow

_WINDOW = ("kernel", "strides", "dilations")


def mean_of_windows(b: Canvas, node: Node) -> int | None:
    """An average of windows that have all their elements inside, as a sum of what is stored.

    What is padded counts, or there is none.
    """
    x = b.steps(node.args[0])
    if x is None or not x.is_even or x.run_zero is not None or x.dtype != "float32":
        return None
    pads, kernel = node.attr("pads"), node.attr("kernel")
    if (any(pads) and not node.attr("count_include_pad")) or _overhangs(b, node):
        return None
    channels, count, zero = node.out.shape[3], math.prod(kernel), int(x.zero.item())
    if count * 512 >= MOST:
        return None
    attrs = {name: node.attr(name) for name in ("strides", "pads", "dilations")}
    if zero and any(pads):
        attrs["pad_value"] = zero
    total = b.emit(
        "conv2d_integer",
        x.stored,
        b.constant(np.ones((channels, *kernel, 1), np.int8)),
        out=Tensor(node.out.shape, "int32"),
        groups=channels,
        **attrs,
    )
    scale = x.scale.reshape((1,) * 4) / count
    return b.shown(
        Image(total, "float32", number(zero * count, 4), scale, None, None, x.run_scales)
    )


def _overhangs(b: Canvas, node: Node) -> bool:
    """Whether a window reaches beyond the padding."""
    pads, shape = node.attr("pads"), b.values[node.args[0]].shape
    found = []
    for i in (0, 1):
        kernel, stride, dilation = (node.attr(name)[i] for name in _WINDOW)
        found.append(places(shape[1 + i], kernel, stride, dilation, pads[i] + pads[2 + i]))
    return tuple(found) != node.out.shape[1:3]


def enlarged(b: Canvas, node: Node) -> int | None:
    """A transposed convolution whose windows lie side by side: each is a product of one pixel."""
    x, w = (b.steps(arg) for arg in node.args)
    if x is None or w is None or not x.is_even or x.run_zero is not None or x.run_scales:
        return None
    if w.stored not in b.constants or w.run_zero is not None or w.run_scales:
        return None
    weights = b.constants[w.stored].astype(np.int64) - w.zero
    (n, height, width, depth), (_, kh, kw, channels) = b.values[x.stored].shape, weights.shape
    beside = node.attr("strides") == (kh, kw) and node.attr("dilations") == (1, 1)
    whole = node.out.shape == (n, height * kh, width * kw, channels)
    if not (beside and whole) or any(node.attr("pads")) or node.attr("groups") != 1:
        return None
    if w.scale.size > 1 and w.scale.shape[3] != w.scale.size:
        return None
    matrix = weights.reshape(depth, kh * kw * channels)
    scale = along_one(w.scale.reshape(-1) * x.scale.item(), 4)
    if scale is None or not is_ordinary(scale) or not is_exact(b, x, matrix, np.abs(matrix).sum(0)):
        return None
    zeros = x.zero.item() * weights.sum(axis=0)  # of each place of a window
    total = b.emit("matmul_integer", x.stored, b.constant(narrow(matrix)), transpose_b=False)
    if zeros.any():
        total = b.emit("add", total, b.constant(-zeros.reshape(-1).astype(np.int32)))
    split = b.reshaped(total, (n, height, width, kh, kw, channels))
    laid = b.emit("transpose", split, axes=(0, 1, 3, 2, 4, 5))
    stored = b.reshaped(laid, node.out.shape)
    return b.shown(Image(stored, "float32", number(0, 4), scale))
