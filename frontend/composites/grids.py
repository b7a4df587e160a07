"""Images read at places that are computed, between their elements (ONNX's GridSample)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

from ..graph.emitter import Emitter
from . import movement, places, sampling

_CUBIC = -0.75  # of Keys' kernel


@dataclass(frozen=True)
class _Tap:
    """An element along a dimension for each place: its number, how much it counts, whether it is
    there; the last two are None where it counts as a whole, and where it always is there."""

    index: int
    weight: int | None
    there: int | None


def grid_sample(
    t: Emitter, x: int, grid: int, method: str, padding: str, *, align_corners: bool
) -> int:
    """``x`` [n, c, ...] at places ``grid`` [n, ..., coordinates] between -1 and 1.

    ``method``: "nearest", "bilinear" or "bicubic"; ``padding``: "zeros", "border" or "reflection".
    All channels of a place are read together, so ``x`` is taken with its channels last.
    """
    (n, channels, *sizes), dtype = t.shape(x), t.dtype(x)
    computed = "float64" if dtype == "float64" else "float32"
    outer = t.shape(grid)[1:-1]
    count, rank = math.prod(outer), len(sizes)
    pixels = t.transpose(x, (0, *range(2, rank + 2), 1))
    pixels = t.reshape(pixels, (n * math.prod(sizes), channels))
    coordinates = movement.split(
        t, t.reshape(t.cast(grid, computed), (n, count, rank)), [1] * rank, 2
    )
    taps = []
    for size, at in zip(sizes, reversed(coordinates), strict=True):
        side = _Side(t, size, padding, align_corners=align_corners)
        taps.append(side.taps(t.reshape(at, (n, count)), method))
    first = t.reshape(t.cast(sampling.firsts(t, n, math.prod(sizes)), "int32"), (n, 1))
    total = None
    for chosen in itertools.product(*taps):
        index = _row(t, [tap.index for tap in chosen], sizes)
        value = t.cast(t.emit("take", pixels, t.emit("add", first, index), axis=0), computed)
        weights = [tap.weight for tap in chosen if tap.weight is not None]
        if weights:
            value = t.emit(
                "multiply", value, _wide(t, reduce(partial(t.emit, "multiply"), weights))
            )
        there = [tap.there for tap in chosen if tap.there is not None]
        if there:
            known = _wide(t, reduce(partial(t.emit, "logical_and"), there))
            value = t.emit("where", known, value, t.literal(0, value))
        total = value if total is None else t.emit("add", total, value)
    assert total is not None
    moved = t.transpose(t.cast(total, dtype), (0, 2, 1))
    return t.reshape(moved, (n, channels, *outer))


def _row(t: Emitter, indices: Sequence[int], sizes: Sequence[int]) -> int:
    """The number of an element among those of its image, from those along each dimension."""
    total, *rest = indices
    for index, size in zip(rest, sizes[1:], strict=True):
        scaled = t.emit("multiply", total, t.literal(size, total))
        total = t.emit("add", scaled, index)
    return total


def _wide(t: Emitter, x: int) -> int:
    return t.reshape(x, (*t.shape(x), 1))


class _Side:
    """A dimension of an image."""

    def __init__(self, t: Emitter, size: int, padding: str, *, align_corners: bool) -> None:
        self.t, self.size, self.padding, self.align_corners = t, size, padding, align_corners
        self.low, self.high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)

    def taps(self, grid: int, method: str) -> list[_Tap]:
        """The elements to read for each place between -1 and 1."""
        t, at = self.t, self._place(grid)
        if method == "nearest":
            return [self._tap(t.emit("round", at), None)]
        floor = t.emit("floor", at)
        share = t.emit("subtract", at, floor)
        if method == "bilinear":
            rest = t.emit("subtract", t.literal(1, share), share)
            return [self._tap(floor, rest), self._tap(self._plus(floor, 1), share)]
        weights = (self._far, self._near, self._near, self._far)
        distances = [self._plus(share, 1), share, self._minus(1, share), self._minus(2, share)]
        return [
            self._tap(self._plus(floor, step), weight(distance))
            for step, weight, distance in zip(range(-1, 3), weights, distances, strict=True)
        ]

    def _place(self, grid: int) -> int:
        """In elements."""
        above = self._plus(grid, 1)
        if self.align_corners:
            return self._times(self._times(above, 0.5), self.size - 1)
        return self._times(self._plus(self._times(above, self.size), -1), 0.5)

    def _tap(self, at: int, weight: int | None) -> _Tap:
        """Of whole numbers of elements, which may be outside."""
        t = self.t
        there = places.inside(t, at, self.size) if self.padding == "zeros" else None
        if self.padding == "reflection" and self.high > self.low:  # else there is but one
            at = self._reflected(at)
        return _Tap(t.cast(places.bounded(t, at, self.size), "int32"), weight, there)

    def _reflected(self, at: int) -> int:
        """At both ends, again and again."""
        t, length = self.t, self.high - self.low
        away = t.emit("abs", self._plus(at, -self.low))
        turns = t.emit("floor", self._times(away, 1 / (2 * length)))
        rest = t.emit("subtract", away, self._times(turns, 2 * length))
        nearer = t.emit("minimum", rest, self._minus(2 * length, rest))
        return self._plus(nearer, self.low)

    # Keys, *Cubic Convolution Interpolation for Digital Image Processing*, 1981.

    def _near(self, d: int) -> int:
        """Up to one element away."""
        return self._polynomial(d, (_CUBIC + 2, -(_CUBIC + 3), 0, 1))

    def _far(self, d: int) -> int:
        """Up to two."""
        return self._polynomial(d, (_CUBIC, -5 * _CUBIC, 8 * _CUBIC, -4 * _CUBIC))

    def _polynomial(self, x: int, coefficients: Sequence[float]) -> int:
        t, (first, *rest) = self.t, coefficients
        total = self._times(x, first)
        for i, coefficient in enumerate(rest):
            total = self._plus(total, coefficient) if coefficient else total
            total = t.emit("multiply", total, x) if i < len(rest) - 1 else total
        return total

    def _plus(self, x: int, number: float) -> int:
        return self.t.emit("add", x, self.t.literal(number, x)) if number else x

    def _minus(self, number: float, x: int) -> int:
        return self.t.emit("subtract", self.t.literal(number, x), x)

    def _times(self, x: int, number: float) -> int:
        return self.t.emit("multiply", x, self.t.literal(number, x))
