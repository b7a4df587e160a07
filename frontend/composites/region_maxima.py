"""Maxima of samples of regions, as many as a region is large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..graph.emitter import Emitter
from . import places

# Samples are more than half an element apart where there are several. Those that read an element
# lie within three elements: up to one outside of the image they are those of its edge.
_SAMPLES, _BEFORE = 8, 2


@dataclass(frozen=True)
class Reach:
    """Along a side, [rois, bins, size]: how much an element counts at most and at least in the
    samples that read it, and whether any does; [rois, bins, 1]: whether there are samples, and
    whether some are outside of the image, which are 0."""

    most: int
    least: int
    read: int
    some: int
    outside: int


def reach(t: Emitter, start: int, bins: int, extent: int, size: int) -> Reach:
    """Of regions from ``start`` on, of an ``extent``, both [rois]."""
    count, dtype = t.shape(start)[0], t.dtype(start)
    start, extent = (t.reshape(v, (count, 1, 1)) for v in (start, extent))
    length = t.emit("divide", extent, t.literal(bins, extent))
    samples = t.emit("ceil", length)
    number = t.cast(places.numbers(t, (1, bins, 1), 1), dtype)
    element = t.cast(places.numbers(t, (1, 1, size), 2), dtype)
    apart = t.emit("divide", length, t.emit("maximum", samples, t.literal(1, samples)))
    base = t.emit("add", start, t.emit("multiply", number, length))
    zero, half, one = (t.literal(n, base) for n in (0, 0.5, 1))

    def place(index: int, begin: int, step: int) -> int:
        return t.emit("add", begin, t.emit("multiply", t.emit("add", index, half), step))

    lowest = t.emit("subtract", element, t.literal(_BEFORE, element))
    before = t.emit("divide", t.emit("subtract", lowest, base), apart)
    first = t.emit("maximum", t.emit("ceil", t.emit("subtract", before, half)), zero)
    most, least, read = _weights(
        t,
        t.reshape(first, (count, bins, size, 1)),
        t.reshape(samples, (count, 1, 1, 1)),
        lambda index: place(
            index, t.reshape(base, (count, bins, 1, 1)), t.reshape(apart, (count, 1, 1, 1))
        ),
        t.reshape(element, (1, 1, size, 1)),
    )
    some = t.emit("greater", t.broadcast(samples, (count, bins, 1)), zero)
    last = place(t.emit("subtract", samples, one), base, apart)
    ends = (
        t.emit("logical_not", _inside(t, end, size)) for end in (place(zero, base, apart), last)
    )
    return Reach(most, least, read, some, t.emit("logical_or", *ends))


def _weights(
    t: Emitter, first: int, samples: int, place: Callable[[int], int], element: int
) -> tuple[int, int, int]:
    """Of each ``element`` how much it counts at most and at least, and whether it is read, from the
    ``first`` sample on that may read it; samples are the last dimension, which is reduced."""
    dtype, size = t.dtype(first), t.shape(element)[2]
    step = t.cast(places.numbers(t, (1, 1, 1, _SAMPLES), 3), dtype)
    index = t.emit("add", first, step)
    where = place(index)
    valid = t.emit("logical_and", t.emit("less", index, samples), _inside(t, where, size))
    at = places.bounded(t, where, size)
    low = t.emit("floor", at)
    share = t.emit("subtract", at, low)
    zero, one = (t.literal(n, low) for n in (0, 1))
    high = t.emit("minimum", t.emit("add", low, one), t.literal(size - 1, low))
    corners = [
        (t.emit("logical_and", valid, t.emit("equal", corner, element)), weight)
        for corner, weight in ((low, t.emit("subtract", one, share)), (high, share))
    ]

    def over(kind: str, pair: str, values: Sequence[int]) -> int:
        return t.emit(kind, t.emit(pair, *values), axes=(3,), keepdims=False)

    most = over("max", "maximum", [t.emit("where", r, weight, zero) for r, weight in corners])
    least = over("min", "minimum", [t.emit("where", r, weight, one) for r, weight in corners])
    read = over("max", "maximum", [t.cast(r, "int32") for r, _ in corners])
    return most, least, t.cast(read, "bool")


def _inside(t: Emitter, at: int, size: int) -> int:
    return t.emit(
        "logical_and",
        t.emit("greater_equal", at, t.literal(-1, at)),
        t.emit("less_equal", at, t.literal(size, at)),
    )


def largest(t: Emitter, x: int, rows: Reach, columns: Reach) -> int:
    """[rois, c, bins, bins] of images ``x`` [rois, c, h, w]: of all samples the largest product of
    an element and what counts of it; 0 where there are no samples."""
    rois, c, h, w = t.shape(x)
    down, across = t.shape(rows.most)[1], t.shape(columns.most)[1]
    wide = t.reshape(x, (rois, c, h, 1, w))
    found = _along(t, wide, columns, (rois, 1, 1, across, w), 4)  # [rois, c, h, across]
    wide = t.reshape(found, (rois, c, 1, h, across))
    found = _along(t, wide, rows, (rois, 1, down, h, 1), 3)
    sides = (rows, (rois, 1, down, 1)), (columns, (rois, 1, 1, across))
    outside = t.emit("logical_or", *(t.reshape(side.outside, shape) for side, shape in sides))
    some = t.emit("logical_and", *(t.reshape(side.some, shape) for side, shape in sides))
    zero = t.literal(0, found)
    found = t.emit("where", outside, t.emit("maximum", found, zero), found)
    return t.emit("where", some, found, zero)


def _along(t: Emitter, x: int, side: Reach, shape: tuple[int, ...], axis: int) -> int:
    """The largest products along a dimension; 0 where nothing is read.

    What counts is not negative: so the largest product is by the most, or of negative elements by
    the least, whatever the other side is multiplied by.
    """
    most, least, read = (t.reshape(v, shape) for v in (side.most, side.least, side.read))
    larger = t.emit("maximum", t.emit("multiply", x, most), t.emit("multiply", x, least))
    found = t.emit("where", read, larger, t.number("-inf", t.dtype(x)))
    found = t.emit("max", found, axes=(axis,), keepdims=False)
    one = t.cast(read, "int32")
    some = t.cast(t.emit("max", one, axes=(axis,), keepdims=False), "bool")
    return t.emit("where", some, found, t.literal(0, found))
