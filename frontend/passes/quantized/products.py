"""Products and convolutions of what is stored, with sums in whole numbers.

``sum((x - zx) * (w - zw))`` is ``sum(x * w') - zx * sum(w')`` where ``w' = w - zw`` is known; what
a convolution sees outside of its image is ``zx`` then, which stands for zero.
"""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node, Tensor

from ...graph import Array
from .canvas import Canvas
from .image import Image, Known, along_one, number

MOST = 2**30  # of sums, which leaves room for a bias
# Scales of sums must be ordinary numbers of float32.
_LEAST_SCALE, _MOST_SCALE = 2.0**-120, 2.0**120
_CONVOLUTIONS = frozenset({"conv2d", "conv2d_integer"})


def product(b: Canvas, node: Node, *, is_quantised: bool) -> int | None:
    """The node of whole numbers; None where its arguments are not, or it is better in floats.

    ``is_quantised`` says that what becomes of the result is stored in few bits again.
    """
    left, right = (b.steps(arg) for arg in node.args)
    if left is None or right is None or left.offset is not None or not left.is_even:
        return None
    if right.stored in b.constants:
        return _weighed(b, node, left, right)
    if node.op == "matmul_integer" or (node.op == "matmul" and is_quantised):
        return _of_two(b, node, left, right)
    return None


def _weighed(b: Canvas, node: Node, x: Image, w: Image) -> int | None:
    """With known weights."""
    if w.run_zero is not None:
        return None
    weights = b.constants[w.stored].astype(np.int64) - w.zero
    channels = _channels(node, weights)
    others = tuple(i for i in range(weights.ndim) if i != channels)
    factor, rank = _by_channel(w.scale, channels), len(node.out.shape)
    if factor is None or not is_exact(b, x, weights, _summed(node, weights)):
        return None
    scale = along_one(factor * x.scale.item(), rank)
    if scale is None or not is_ordinary(scale):
        return None
    if x.run_zero is not None and any(node.attr("pads", ())):
        return None
    if node.op in _CONVOLUTIONS:
        total = _convolved(b, node, x, weights)
        sums = weights.sum(axis=others)
    else:
        if node.attr("transpose_b"):
            weights = weights.swapaxes(-1, -2)
        total = _multiplied(b, x, weights)
        sums = weights.sum(axis=-2, keepdims=weights.ndim > 2)
    if x.run_zero is not None:
        single = b.at_most(x.run_zero, total)
        wide = b.emit("cast", single, out=Tensor(b.values[single].shape, "int32"))
        weighed = b.emit("multiply", wide, b.constant(sums.astype(np.int32)))
        total = b.emit("subtract", total, weighed)
    zero = along_one(x.zero.item() * sums, rank)
    return None if zero is None else _stand(b, node, total, zero, scale, x, w)


def _multiplied(b: Canvas, x: Image, weights: Array) -> int:
    """Rows by columns, less a middle of each; see ``_with_middle``."""
    middle = _middle(weights)
    few = weights if middle is None else weights - middle
    total = b.emit("matmul_integer", x.stored, b.constant(narrow(few)), transpose_b=False)
    return total if middle is None else _with_middle(b, total, x.stored, middle)


def _with_middle(b: Canvas, total: int, rows: int, middle: Array) -> int:
    """Of columns that 8 bits hold less one number each it is left out, and comes back times the sum
    of the row: ``sum(x * w) = sum(x * (w - m)) + m * sum(x)``."""
    shape = b.values[rows].shape
    wide = b.emit("cast", rows, out=Tensor(shape, "int32"))
    sums = b.emit("sum", wide, axes=(len(shape) - 1,), keepdims=True)
    more = b.emit("multiply", sums, b.constant(middle.astype(np.int32)))
    return b.emit("add", total, more)


def _middle(weights: Array) -> Array | None:
    """A number for each column, less which 8 bits hold it; None where they do anyway, or cannot."""
    if weights.ndim != 2 or len(weights) * 255**2 >= MOST:
        return None
    limits = np.iinfo(np.int8)
    low, high = weights.min(axis=0), weights.max(axis=0)
    above, below = np.maximum(high - limits.max, 0), np.minimum(low - limits.min, 0)
    fits = np.all(high - low <= limits.max - limits.min)
    return above + below if fits and np.any(above - below) else None


def _convolved(b: Canvas, node: Node, x: Image, weights: Array) -> int:
    """A window, or a pixel as a row by columns, less a middle of each."""
    attrs = dict(node.attrs)
    zero = int(x.zero.item())
    if zero and any(node.attr("pads")):
        attrs["pad_value"] = zero
    pixels = weights.shape[1:3] == (1, 1) and not any(node.attr("pads"))
    alone = pixels and node.attr("groups") == 1
    middle = _middle(weights[:, 0, 0].T) if alone else None
    few = weights if middle is None else weights - middle.reshape(-1, 1, 1, 1)
    out = Tensor(node.out.shape, "int32")
    total = b.emit("conv2d_integer", x.stored, b.constant(narrow(few)), out=out, **attrs)
    if middle is None:
        return total
    return _with_middle(b, total, _seen(b, node, x.stored), middle)


def _seen(b: Canvas, node: Node, x: int) -> int:
    """The pixels that windows of one read."""
    strides = node.attr("strides")
    if strides == (1, 1):
        return x
    tensor = b.values[x]
    shape = (*node.out.shape[:3], tensor.shape[3])
    steps = (1, *strides, 1)
    return b.emit("slice", x, out=Tensor(shape, tensor.dtype), begin=(0,) * 4, steps=steps)


def _of_two(b: Canvas, node: Node, x: Image, y: Image) -> int | None:
    """Of two matrices that only a run knows."""
    if y.offset is not None or not y.is_even or node.attr("transpose_b"):
        return None
    depth = b.values[x.stored].shape[-1]
    scale = number(x.scale.item() * y.scale.item(), len(node.out.shape))
    if depth * 255**2 >= MOST or not is_ordinary(scale):
        return None
    first, second = (each.stored if each.run_zero is None else _centred(b, each) for each in (x, y))
    zeros = tuple(int(each.zero.item()) if each.run_zero is None else 0 for each in (x, y))
    if any(zeros):
        total = b.emit("matmul_integer", first, second, transpose_b=False, zeros=zeros)
    else:
        total = b.emit("matmul_integer", first, second, transpose_b=False)
    zero = number(0, len(node.out.shape))
    return _stand(b, node, total, zero, scale, x, y)


def _centred(b: Canvas, image: Image) -> int:
    """What is stored less a zero point of a run, in 16 bits."""
    whole = Image(image.stored, "int16", image.zero, number(1.0, image.zero.ndim))
    return b.shown(Image(whole.stored, whole.dtype, whole.zero, whole.scale, None, image.run_zero))


def _stand(b: Canvas, node: Node, total: int, zero: Known, scale: Known, x: Image, w: Image) -> int:
    """The result, of sums."""
    whole = node.op.endswith("_integer")
    return b.shown(
        Image(
            total,
            "int32" if whole else "float32",
            zero,
            scale,
            None,
            None,
            (*x.run_scales, *w.run_scales),
        )
    )


def _channels(node: Node, weights: Array) -> int:
    """The dimension of the weights that is the result's last."""
    if node.op in _CONVOLUTIONS:
        return 0
    return weights.ndim - (2 if node.attr("transpose_b") else 1)


def _by_channel(scale: Known, channels: int) -> Array | None:
    """A vector of scales of the channels, or one; None where they are of something else."""
    if scale.size > 1 and scale.shape[channels] != scale.size:
        return None
    return scale.reshape(-1)


def _summed(node: Node, weights: Array) -> Array:
    """Of each sum the weights' sizes."""
    sizes = np.abs(weights)
    if node.op in _CONVOLUTIONS:
        return np.asarray(sizes.sum(axis=(1, 2, 3)))
    return np.asarray(sizes.sum(axis=-1 if node.attr("transpose_b") else -2))


def is_exact(b: Canvas, x: Image, weights: Array, sizes: Array) -> bool:
    """Whether weights have few bits, and no sum leaves 32 of them."""
    largest = max(map(abs, b.values[x.stored].element.limits)) + abs(int(x.zero.item()))
    few_bits = int(np.abs(weights).max()) < 2**15
    return few_bits and largest * int(sizes.max()) < MOST


def is_ordinary(scale: Known) -> bool:
    """Whether scales of sums keep the precision of float32."""
    sizes = np.abs(scale)
    return bool(np.all((sizes >= _LEAST_SCALE) & (sizes <= _MOST_SCALE)))


def narrow(weights: Array) -> Array:
    """In 8 bits where these hold them."""
    limits = np.iinfo(np.int8)
    inside = limits.min <= weights.min() and weights.max() <= limits.max
    return np.ascontiguousarray(weights.astype(np.int8 if inside else np.int16))
