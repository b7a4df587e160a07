"""Anchors spelled by operators of any type, for types that no template of theirs computes.

They are right, and read memory more often than they must.
"""

from __future__ import annotations

import math
from functools import partial, reduce

import numpy as np

from luthier.schedules import Node, Tensor

from ..graph import Array, Rewriter


def softmax(b: Rewriter, node: Node) -> int:
    """The exponentials' shares; the largest is taken off before."""
    _, exponentials, total = _exponentials(b, node)
    return b.emit("divide", exponentials, total)


def log_softmax(b: Rewriter, node: Node) -> int:
    """Its logarithm."""
    centred, _, total = _exponentials(b, node)
    return b.emit("subtract", centred, b.emit("log", total))


def _exponentials(b: Rewriter, node: Node) -> tuple[int, int, int]:
    """Elements without the largest, their exponentials, and the sums of these."""
    (x,), axes = node.args, (node.attr("axis"),)
    centred = b.emit("subtract", x, _reduced(b, "max", x, axes))
    found = b.emit("exp", centred)
    return centred, found, _reduced(b, "sum", found, axes)


def _reduced(b: Rewriter, op: str, x: int, axes: tuple[int, ...]) -> int:
    return b.emit(op, x, axes=axes, keepdims=True)


def layer_norm(b: Rewriter, node: Node) -> int:
    """Mean 0 and variance 1 over the last axes."""
    x, gamma, beta = node.args
    axes = _last(b, x, gamma)
    centred = b.emit("subtract", x, _reduced(b, "mean", x, axes))
    return b.emit("add", _scaled(b, node, centred, gamma, axes), beta)


def rms_norm(b: Rewriter, node: Node) -> int:
    """Mean square 1 over the last axes."""
    x, gamma = node.args
    return _scaled(b, node, x, gamma, _last(b, x, gamma))


def _last(b: Rewriter, x: int, gamma: int) -> tuple[int, ...]:
    rank = len(b.values[x].shape)
    return tuple(range(rank - len(b.values[gamma].shape), rank))


def _scaled(b: Rewriter, node: Node, x: int, gamma: int, axes: tuple[int, ...]) -> int:
    square = _reduced(b, "mean", b.emit("multiply", x, x), axes)
    epsilon = b.scalar(float(node.attr("epsilon")), node.out.dtype)
    return b.emit(
        "multiply", b.emit("divide", x, b.emit("sqrt", b.emit("add", square, epsilon))), gamma
    )


def max_pool(b: Rewriter, node: Node) -> int:
    """A maximum down the windows, then one across: of slices of the padded input."""
    return _pooled(b, node, "maximum", "-inf")


def avg_pool(b: Rewriter, node: Node) -> int:
    """A sum down the windows, then one across, by the number of elements that a window has."""
    total, counts = _pooled(b, node, "add", 0.0), _counts(b, node)
    return b.emit("divide", total, b.constant(counts.astype(node.out.dtype)))


def _counts(b: Rewriter, node: Node) -> Array:
    """How many elements of the image are in each window, or of a window."""
    kernel, strides, dilations = (node.attr(a) for a in ("kernel", "strides", "dilations"))
    if node.attr("count_include_pad"):
        return np.asarray(math.prod(kernel))
    found = []
    sizes = zip(b.values[node.args[0]].shape[1:3], node.out.shape[1:3], strict=True)
    for axis, (size, count) in enumerate(sizes):
        first = np.arange(count)[:, None] * strides[axis] - node.attr("pads")[axis]
        places = first + np.arange(kernel[axis]) * dilations[axis]
        found.append(((places >= 0) & (places < size)).sum(axis=1))
    return np.asarray((found[0][:, None] * found[1])[None, :, :, None])


def _pooled(b: Rewriter, node: Node, op: str, fill: float | str) -> int:
    (top, left, *_), (x,) = node.attr("pads"), node.args
    n, height, width, c = b.values[x].shape
    _, rows, columns, _ = node.out.shape
    kernel, strides, dilations = (node.attr(a) for a in ("kernel", "strides", "dilations"))
    reach = [
        (o - 1) * s + (k - 1) * d + 1
        for o, s, k, d in zip((rows, columns), strides, kernel, dilations, strict=True)
    ]
    tall, wide = max(reach[0], top + height), max(reach[1], left + width)
    padded = Tensor((n, tall, wide, c), node.out.dtype)
    if padded.shape != b.values[x].shape:
        before = (0, top, left, 0)
        x = b.emit("pad", x, out=padded, before=before, value=fill, mode="constant")
    for axis, size in ((1, rows), (2, columns)):
        tap = (kernel[axis - 1], strides[axis - 1], dilations[axis - 1])
        x = reduce(partial(b.emit, op), _taps(b, x, axis, size, *tap))
    return x


def _taps(
    b: Rewriter, x: int, axis: int, size: int, kernel: int, stride: int, dilation: int
) -> list[int]:
    """What each tap of a window sees at its ``size`` places along an axis."""
    shape = tuple(size if i == axis else d for i, d in enumerate(b.values[x].shape))
    out, steps = Tensor(shape, b.values[x].dtype), [1] * len(shape)
    steps[axis] = stride
    begins = [[tap * dilation if i == axis else 0 for i in range(4)] for tap in range(kernel)]
    return [b.emit("slice", x, out=out, begin=tuple(at), steps=tuple(steps)) for at in begins]


def conv2d(b: Rewriter, node: Node) -> int:
    """Left to Relax."""
    return b.emit(
        "relax.nn.conv2d",
        *node.args,
        out=node.out,
        attrs="relax.attrs.Conv2DAttrs",
        strides=node.attr("strides"),
        padding=node.attr("pads"),
        dilation=node.attr("dilations"),
        groups=node.attr("groups"),
        data_layout="NHWC",
        kernel_layout="OHWI",
        out_layout="NHWC",
    )


def matmul(b: Rewriter, node: Node) -> int:
    """Left to Relax."""
    left, right = node.args
    if node.attr("transpose_b"):
        rank = len(b.values[right].shape)
        right = b.emit("transpose", right, axes=(*range(rank - 2), rank - 1, rank - 2))
    return b.emit("relax.matmul", left, right, out=node.out, attrs="relax.attrs.MatmulAttrs")
