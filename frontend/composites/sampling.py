"""Images read between their elements, and pooled by rectangles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from luthier.schedules import Tensor

from ..graph.emitter import Emitter
from . import places

# At most so many samples lie in two elements where they are more than half an element apart.
_SAMPLES = 6


@dataclass(frozen=True)
class Side:
    """Places along a dimension, each between two elements: values of shapes that broadcast.

    ``low`` and ``high`` are int64 numbers of elements, ``share`` is how much of the second counts.
    ``has_low`` and ``has_high`` are truths; what is not there is 0.
    """

    low: int
    high: int
    share: int
    has_low: int
    has_high: int


def edged(t: Emitter, at: int, size: int) -> Side:
    """Places up to one element outside are those of the edge, and nothing is beyond."""
    there = t.emit(
        "logical_and",
        t.emit("greater_equal", at, t.literal(-1, at)),
        t.emit("less_equal", at, t.literal(size, at)),
    )
    within = places.bounded(t, at, size)
    floor = t.emit("floor", within)
    low = places.bounded(t, t.cast(floor, "int64"), size)
    high = t.emit("minimum", t.emit("add", low, t.literal(1, low)), t.literal(size - 1, low))
    return Side(low, high, t.emit("subtract", within, floor), there, there)


def surrounded(t: Emitter, at: int, size: int) -> Side:
    """Zeros are around the image."""
    floor = t.emit("floor", at)
    next_ = t.emit("add", floor, t.literal(1, at))
    low, high = (t.cast(places.bounded(t, each, size), "int64") for each in (floor, next_))
    has_low, has_high = (places.inside(t, each, size) for each in (floor, next_))
    return Side(low, high, t.emit("subtract", at, floor), has_low, has_high)


def corners(
    t: Emitter, rows: int, image: int, y: Side, x: Side, width: int
) -> tuple[int, int, int, int]:
    """Four elements of all channels around each place, times what counts of each.

    ``rows`` [n, channels] are the elements of images, which begin at row ``image``. Shapes of
    ``image``, ``y`` and ``x`` broadcast to [...]; the results are [..., channels].
    """
    found = []
    for iy, sy, hy in ((y.low, False, y.has_low), (y.high, True, y.has_high)):
        row = t.emit("add", image, t.emit("multiply", iy, t.literal(width, iy)))
        for ix, sx, hx in ((x.low, False, x.has_low), (x.high, True, x.has_high)):
            value = t.emit("take", rows, t.emit("add", row, ix), axis=0)
            weight = t.emit("multiply", _share(t, y, sy), _share(t, x, sx))
            there = t.emit("logical_and", hy, hx)
            product = t.emit("multiply", value, _for_channels(t, weight))
            zero = t.literal(0, product)
            found.append(t.emit("where", _for_channels(t, there), product, zero))
    first, second, third, last = found
    return first, second, third, last


def _share(t: Emitter, side: Side, high: bool) -> int:
    return side.share if high else t.emit("subtract", t.literal(1, side.share), side.share)


def _for_channels(t: Emitter, x: int) -> int:
    return t.reshape(x, (*t.shape(x), 1))


def shares_of_samples(t: Emitter, start: int, bins: int, extent: int, size: int) -> int:
    """[rois, bins, size]: how much each element counts in the mean of a bin's samples.

    A region from ``start`` on, of an ``extent``, both [rois], has as many samples a bin as the bin
    has elements, rounded up. Those that reach an element are found, not gone through: there may be
    any number of them.
    """
    count = t.shape(start)[0]
    dtype = t.dtype(start)
    start, extent = (t.reshape(v, (count, 1, 1)) for v in (start, extent))
    length = t.emit("divide", extent, t.literal(bins, extent))
    samples = t.emit("ceil", length)
    number = t.cast(places.numbers(t, (1, bins, 1), 1), dtype)
    element = t.cast(places.numbers(t, (1, 1, size), 2), dtype)
    apart = t.emit("divide", length, t.emit("maximum", samples, t.literal(1, samples)))
    base = t.emit("add", start, t.emit("multiply", number, length))
    half, one = t.literal(0.5, base), t.literal(1, base)
    reach = t.emit("subtract", t.emit("subtract", element, one), base)
    first = t.emit("ceil", t.emit("subtract", t.emit("divide", reach, apart), half))
    first = t.emit("minimum", t.emit("maximum", first, t.literal(0, first)), samples)
    total = t.broadcast(t.number(0, dtype), (count, bins, size))
    for step in range(_SAMPLES):
        index = t.emit("add", first, t.literal(step, first))
        at = t.emit("add", base, t.emit("multiply", t.emit("add", index, half), apart))
        inside = t.emit(
            "logical_and",
            t.emit("greater_equal", at, t.literal(-1, at)),
            t.emit("less_equal", at, t.literal(size, at)),
        )
        valid = t.emit("logical_and", t.emit("less", index, samples), inside)
        away = t.emit("abs", t.emit("subtract", places.bounded(t, at, size), element))
        weight = t.emit("maximum", t.emit("subtract", one, away), t.literal(0, away))
        total = t.emit("add", total, t.emit("where", valid, weight, t.literal(0, weight)))
    return t.emit("divide", total, t.emit("maximum", samples, t.literal(1, samples)))


def weighted(t: Emitter, x: int, y_shares: int, x_shares: int) -> int:
    """[rois, c, bins, bins] of images ``x`` [rois, c, h, w]: sums by shares [rois, bins, size].

    What has no share does not count, whatever it is.
    """
    rois, _, h, w = t.shape(x)
    down, across = t.shape(y_shares)[1], t.shape(x_shares)[1]
    c = t.shape(x)[1]
    shares = t.reshape(x_shares, (rois, 1, 1, across, w))
    rows = _shared(t, t.reshape(x, (rois, c, h, 1, w)), shares)
    rows = t.emit("sum", rows, axes=(4,), keepdims=False)
    shares = t.reshape(y_shares, (rois, 1, down, h, 1))
    both = _shared(t, t.reshape(rows, (rois, c, 1, h, across)), shares)
    return t.emit("sum", both, axes=(3,), keepdims=False)


def _shared(t: Emitter, x: int, shares: int) -> int:
    product = t.emit("multiply", x, shares)
    nothing = t.emit("equal", shares, t.literal(0, shares))
    return t.emit("where", nothing, t.literal(0, product), product)


def largest(t: Emitter, x: int, rows: int, columns: int) -> int:
    """[rois, c, bins, bins] of images ``x`` [rois, c, h, w]: maxima where ``rows`` [rois, bins, h]
    and ``columns`` [rois, bins, w] are true, and 0 where nothing is."""
    rois, c, h, w = t.shape(x)
    down, across = t.shape(rows)[1], t.shape(columns)[1]
    least = t.number("-inf", t.dtype(x))
    mask = t.reshape(columns, (rois, 1, 1, across, w))
    found = t.emit("where", mask, t.reshape(x, (rois, c, h, 1, w)), least)
    found = t.emit("max", found, axes=(4,), keepdims=False)
    mask = t.reshape(rows, (rois, 1, down, h, 1))
    found = t.emit("where", mask, t.reshape(found, (rois, c, 1, h, across)), least)
    found = t.emit("max", found, axes=(3,), keepdims=False)
    some = t.emit(
        "logical_and", _any(t, rows, (rois, 1, down, 1)), _any(t, columns, (rois, 1, 1, across))
    )
    return t.emit("where", some, found, t.literal(0, found))


def _any(t: Emitter, mask: int, shape: Sequence[int]) -> int:
    number = t.cast(mask, "int32")
    return t.cast(t.reshape(t.emit("max", number, axes=(2,), keepdims=False), shape), "bool")


def pixels(t: Emitter, x: int) -> int:
    """[n * h * w, c] of ``x`` [n, c, h, w]."""
    n, c, h, w = t.shape(x)
    return t.reshape(t.transpose(x, (0, 2, 3, 1)), (n * h * w, c))


def firsts(t: Emitter, count: int, apart: int) -> int:
    """int64[count]: 0, ``apart``, ..."""
    return t.emit("iota", out=Tensor((count,), "int64"), start=0, step=apart)
