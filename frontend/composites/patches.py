"""What windows see, tap by tap: for what no kernel of windows computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial, reduce

from luthier.schedules import Tensor

from ..graph.emitter import Emitter
from . import places
from .window import Window


def largest_at(t: Emitter, x: int, largest: int, window: Window, *, by_columns: bool) -> int:
    """Where in ``x`` [n, c, ...] the elements are that are the ``largest`` [n, c, ...] of windows.

    int64: the number of the first in the window, in the order of the tensor's elements; those of
    an image are counted down its columns where they go ``by_columns``.
    """
    shape, out = t.shape(x), t.shape(largest)
    sizes, rank = shape[2:], len(shape) - 2
    at, valid = [], []
    for i, size in enumerate(sizes):
        step, tap = window.strides[i], window.dilations[i]
        index = places.seen(t, out[2 + i], step, window.kernel[i], tap, window.pads[i])
        at.append(_spread(t, places.bounded(t, index, size), i, rank))
        valid.append(_spread(t, places.inside(t, index, size), i, rank))
    flat, count = at[0], math.prod(sizes)
    for size, index in zip(sizes[1:], at[1:], strict=True):
        flat = t.emit("add", t.emit("multiply", flat, t.literal(size, flat)), index)
    rows = t.reshape(x, (*shape[:2], count))
    elements = t.emit("take", rows, flat, axis=2)
    ours = t.reshape(largest, (*out, *[1] * rank))
    hit = t.emit("equal", elements, ours)
    if t.type(x).element.is_float:
        hit = t.emit("logical_or", hit, t.emit("isnan", elements))
    hit = t.emit("logical_and", hit, reduce(partial(t.emit, "logical_and"), valid))
    found = t.emit("where", hit, flat, t.literal(count - 1, flat))
    taps = tuple(range(2 + rank, 2 + 2 * rank))
    first = t.cast(t.emit("min", found, axes=taps, keepdims=False), "int64")
    if by_columns:
        first = _by_columns(t, first, sizes)
    images = t.emit("iota", out=Tensor((shape[0] * shape[1],), "int64"), start=0, step=count)
    return t.emit("add", first, t.reshape(images, (*shape[:2], *[1] * rank)))


def _spread(t: Emitter, index: int, dimension: int, rank: int) -> int:
    """[count, kernel] of a dimension, as of [counts..., kernels...]."""
    count, kernel = t.shape(index)
    shape = [1] * (2 * rank)
    shape[dimension], shape[rank + dimension] = count, kernel
    return t.reshape(index, shape)


def _by_columns(t: Emitter, flat: int, sizes: Sequence[int]) -> int:
    """Of a number that counts the last dimension first, one that counts the first dimension so."""
    parts, rest = [], flat
    for i in reversed(range(len(sizes))):
        index = t.emit("floor_mod", rest, t.literal(sizes[i], rest))
        rest = t.emit("floor_divide", rest, t.literal(sizes[i], rest))
        parts.append(t.emit("multiply", index, t.literal(math.prod(sizes[:i]), index)))
    return reduce(partial(t.emit, "add"), parts)
