"""Arithmetic, reductions and matrix products, composed of the graph's operators."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from luthier.schedules import Tensor

from ..graph.emitter import Emitter

_SMALL = 1 << 12  # elements of a matrix


def reduce(t: Emitter, op: str, x: int, axes: Iterable[int] | None, keepdims: bool) -> int:
    """A reduction over ``axes``; None is all of them, none at all changes nothing."""
    rank = len(t.shape(x))
    over = tuple(range(rank)) if axes is None else tuple(sorted(int(a) % rank for a in axes))
    if not over:
        return x
    return t.emit(op, x, axes=over, keepdims=keepdims)


def isfinite(t: Emitter, x: int) -> int:
    """Neither NaN nor infinite."""
    return t.emit("logical_not", t.emit("logical_or", t.emit("isnan", x), t.emit("isinf", x)))


def clip(t: Emitter, x: int, low: float, high: float) -> int:
    """``min(max(x, low), high)``."""
    if t.type(x).element.is_whole:
        info = np.iinfo(t.dtype(x))
        ends = tuple(int(min(max(v, info.min), info.max)) for v in (low, high))
        return t.emit("clip", x, out=t.type(x), min=ends[0], max=ends[1])
    if low == 0 and high == math.inf:
        return t.emit("relu", x)
    written = [v if math.isfinite(v) else str(v) for v in (low, high)]
    return t.emit("clip", x, out=t.type(x), min=written[0], max=written[1])


def matmul(t: Emitter, a: int, b: int, *, op: str = "matmul") -> int:
    """NumPy's matmul of two values; vectors are matrices with one row or column."""
    left, right = t.shape(a), t.shape(b)
    if len(left) == 1:
        a = t.reshape(a, (1, *left))
    if len(right) == 1:
        b = t.reshape(b, (*right, 1))
    if t.dtype(a) == "float64" and _is_small_table(t, b):
        y = _sums_of_products(t, a, b)
    else:
        y = t.emit(op, a, b, transpose_b=False)
    shape = list(t.shape(y))
    if len(right) == 1:
        del shape[-1]
    if len(left) == 1:
        del shape[-1 if len(right) == 1 else -2]
    return t.reshape(y, shape)


def _is_small_table(t: Emitter, b: int) -> bool:
    known = t.known(b)
    return known is not None and known.ndim == 2 and 0 < known.size <= _SMALL


def _sums_of_products(t: Emitter, a: int, b: int) -> int:
    """A product as a reduction, which has kernels for any number of rows: of float64 only those
    that TVM legalises have a kernel otherwise, one for each number."""
    *rows, length = t.shape(a)
    columns = t.shape(b)[1]
    wide = t.reshape(a, (*rows, 1, length))
    known = t.known(b)
    assert known is not None
    table = t.constant(np.ascontiguousarray(known.T))
    y = t.emit("sum", t.emit("multiply", wide, table), axes=(len(rows) + 1,), keepdims=False)
    return t.reshape(y, (*rows, columns))


def variance(t: Emitter, x: int, axes: Iterable[int] | None, keepdims: bool) -> int:
    """Mean squared distance from the mean; ``axes`` as of ``reduce``."""
    centred = t.emit("subtract", x, reduce(t, "mean", x, axes, keepdims=True))
    return reduce(t, "mean", t.emit("multiply", centred, centred), axes, keepdims)


def prelu(t: Emitter, x: int, slope: int) -> int:
    """``x`` above 0 and ``slope * x`` below, of which the shapes broadcast."""
    scaled = t.emit("multiply", x, slope)
    return t.emit("where", t.emit("greater", x, t.literal(0, x)), x, scaled)


def gelu(t: Emitter, x: int) -> int:
    """Hendrycks and Gimpel 2016, exact form: ``x * (1 + erf(x / sqrt 2)) / 2``."""
    scaled = t.emit("multiply", x, t.literal(1 / math.sqrt(2), x))
    one = t.emit("add", t.emit("erf", scaled), t.literal(1, x))
    return t.emit("multiply", t.emit("multiply", x, t.literal(0.5, x)), one)


def gelu_tanh(t: Emitter, x: int) -> int:
    """The tanh form of the same paper."""
    cube = t.emit("multiply", x, t.emit("multiply", x, x))
    inner = t.emit("add", x, t.emit("multiply", cube, t.literal(0.044715, x)))
    bent = t.emit("tanh", t.emit("multiply", inner, t.literal(math.sqrt(2 / math.pi), x)))
    one = t.emit("add", bent, t.literal(1, x))
    return t.emit("multiply", t.emit("multiply", x, t.literal(0.5, x)), one)


def filled(t: Emitter, number: float, like: Tensor) -> int:
    """A constant of one number."""
    return t.constant(np.broadcast_to(np.asarray(number, like.dtype), like.shape))


def one_hot(t: Emitter, indices: int, on: int, off: int, axis: int, out: Tensor) -> int:
    """``on`` along ``axis`` where its place is the index, else ``off``, both numbers."""
    shape = list(out.shape)
    depth, shape[axis] = shape[axis], 1
    places = np.arange(depth, dtype=t.dtype(indices))
    classes = t.constant(places.reshape([-1 if i == axis else 1 for i in range(len(shape))]))
    hit = t.emit("equal", t.reshape(indices, shape), classes)
    return t.emit("where", hit, on, off, out=out)


def triangle(t: Emitter, x: int, k: int, *, upper: bool) -> int:
    """Matrices without what is below, or above, a diagonal."""
    ones = np.ones(t.shape(x)[-2:], bool)
    mask = np.triu(ones, k) if upper else np.tril(ones, k)
    return t.emit("where", t.constant(mask), x, t.literal(0, x), out=t.type(x))
