"""Convolutions of volumes by those of channels-last images.

A volume's slices along one dimension are images. What a kernel sees of several slices lies side by
side among the channels of one, and a convolution of images adds it up as it adds up channels: with
all algorithms that there are for images, Winograd's among them. Nothing is copied where the kernel
is one slice thick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np

from luthier.schedules import Tensor
from luthier.schedules.tir.indices import ceildiv

from ..graph.emitter import Emitter
from .movement import concat, pad, strided_slice, take
from .window import Window


@dataclass(frozen=True)
class _Taps:
    """The slices of a kernel that every place of a regular part of the output sees.

    Place ``i`` of ``count`` sees with ``taps[j]`` the slice number ``begins[j] + i * step`` of the
    volume, and zeros where there is none.
    """

    taps: tuple[int, ...]
    begins: tuple[int, ...]
    step: int
    count: int

    def of(self, size: int) -> _Taps:
        """Without taps that see none of ``size`` slices."""
        kept = [i for i, begin in enumerate(self.begins) if self.places(begin, size)]
        taps, begins = (tuple(each[i] for i in kept) for each in (self.taps, self.begins))
        return _Taps(taps, begins, self.step, self.count)

    def alone(self) -> list[_Taps]:
        """Each tap by itself."""
        pairs = zip(self.taps, self.begins, strict=True)
        return [_Taps((tap,), (begin,), self.step, self.count) for tap, begin in pairs]

    def places(self, begin: int, size: int) -> range:
        """Which of the places see a slice with the tap that begins there."""
        first = max(0, ceildiv(-begin, self.step))
        return range(first, max(first, min(self.count, ceildiv(size - begin, self.step))))


def conv(t: Emitter, x: int, w: int, window: Window, groups: int, op: str) -> int:
    """``x`` [n, c, ...], ``w`` [k, c / groups, ...]."""
    order = _order(window)
    window, x, w = window.along(order), _slices_first(t, x, order), _slices_first(t, w, order)
    (n, size, high, wide, c), (k, thick, _, _, per) = t.shape(x), t.shape(w)
    count, *sides = window.places((size, high, wide))
    if _is_line(window):
        line = t.reshape(x, (n, size, high * wide, c)), t.reshape(w, (k, thick, 1, per))
        y = t.emit(op, *line, groups=groups, **window.along((0,)).as_column().geometry)
        return _channels_first(t, t.reshape(y, (n, count, high, wide, k)), order)
    begins = tuple(i * window.dilations[0] - window.pads[0] for i in range(thick))
    taps = _Taps(tuple(range(thick)), begins, window.strides[0], count).of(size)

    def of(taps: _Taps) -> int:
        chosen = _chosen(t, w, taps.taps, 1)  # [k, taps, high, wide, c / groups]
        _, thick, *kernel, _ = t.shape(chosen)
        weights = t.reshape(t.transpose(chosen, (0, 2, 3, 1, 4)), (k, *kernel, thick * per))
        images = _beside(t, x, taps, groups)
        y = t.emit(op, images, weights, groups=groups, **window.along((1, 2)).geometry)
        return t.reshape(y, (n, count, *sides, k))

    if not taps.taps:
        dtype = "int32" if op == "conv2d_integer" else t.dtype(x)
        y = t.broadcast(t.number(0, dtype), (n, count, *sides, k))
    elif per == 1 < groups:  # channels by themselves stay so
        y = reduce(partial(t.emit, "add"), map(of, taps.alone()))
    else:
        y = of(taps)
    return _channels_first(t, y, order)


def conv_transpose(
    t: Emitter, x: int, w: int, window: Window, groups: int, sizes: Sequence[int]
) -> int:
    """``x`` [n, c, ...], ``w`` [c, k / groups, ...], of which the result has these ``sizes``.

    Of the output's slices those with equal remainders modulo the stride see the same taps.
    """
    order = _order(window)
    window, x, w = window.along(order), _slices_first(t, x, order), _slices_first(t, w, order)
    total, *sides = (sizes[i] for i in order)
    (n, size, *_, c), (_, thick, *_, per) = t.shape(x), t.shape(w)
    stride, k = window.strides[0], per * groups

    def of(taps: _Taps) -> int:
        """Every ``stride``-th slice."""
        split = t.reshape(w, (groups, c // groups, *t.shape(w)[1:]))
        chosen = _chosen(t, split, taps.taps, 2)
        _, _, _, *kernel, _ = t.shape(chosen)
        moved = t.transpose(chosen, (0, 2, 1, 3, 4, 5))  # [groups, taps, c / groups, ...]
        weights = t.reshape(moved, (c * len(taps.taps), *kernel, per))
        plane = window.along((1, 2)).geometry
        images = _beside(t, x, taps, groups)
        out = Tensor((n * taps.count, *sides, k), t.dtype(x))
        y = t.emit("conv2d_transpose", images, weights, out=out, groups=groups, **plane)
        return t.reshape(y, (n, taps.count, 1, *sides, k))

    most, parts = ceildiv(total, stride), []
    for remainder in range(min(stride, total)):
        first = remainder + window.pads[0]
        places = [(i, first - i * window.dilations[0]) for i in range(thick)]
        seen = [(i, place // stride) for i, place in places if place % stride == 0]
        taps = _Taps(tuple(i for i, _ in seen), tuple(b for _, b in seen), 1, most).of(size)
        nothing = (n, most, 1, *sides, k)
        parts.append(of(taps) if taps.taps else t.broadcast(t.number(0, t.dtype(x)), nothing))
    y = t.reshape(concat(t, parts, 2), (n, most * len(parts), *sides, k))
    return _channels_first(t, strided_slice(t, y, [1], [(0, total, 1)]), order)


def _order(window: Window) -> tuple[int, int, int]:
    """The dimensions, that along which there are slices first: where the kernel is thinnest."""
    if _is_line(window):
        return 0, 1, 2
    thinnest = min(range(3), key=lambda i: (window.kernel[i], not window.is_still(i), i))
    first, second = (i for i in range(3) if i != thinnest)
    return thinnest, first, second


def _is_line(window: Window) -> bool:
    """Whether it goes along the first dimension alone."""
    return window.is_still(1) and window.is_still(2)


def _slices_first(t: Emitter, x: int, order: Sequence[int]) -> int:
    """[n, c, ...] with the channels last and the other dimensions in this order."""
    return t.transpose(x, (0, *(2 + i for i in order), 1))


def _channels_first(t: Emitter, y: int, order: Sequence[int]) -> int:
    """The other way."""
    return t.transpose(y, (0, 4, *(1 + order.index(i) for i in range(3))))


def _chosen(t: Emitter, w: int, taps: Sequence[int], axis: int) -> int:
    """Of a kernel's slices along an axis these."""
    if tuple(taps) == tuple(range(t.shape(w)[axis])):
        return w
    return take(t, w, t.constant(np.array(taps)), axis)


def _beside(t: Emitter, x: int, taps: _Taps, groups: int) -> int:
    """Images [n * count, high, wide, taps * c] of what the taps see, tap by tap in each group."""
    n, size, high, wide, c = t.shape(x)
    parts = []
    for begin in taps.begins:
        seen = taps.places(begin, size)
        first = begin + seen.start * taps.step
        stop = begin + (seen.stop - 1) * taps.step + 1
        part = strided_slice(t, x, [1], [(first, stop, taps.step)])
        parts.append(pad(t, part, [(0, 0), (seen.start, taps.count - seen.stop), *[(0, 0)] * 3]))
    if groups > 1 < len(parts):
        shape = (n, taps.count, high, wide, groups, c // groups)
        parts = [t.reshape(part, shape) for part in parts]
    beside = concat(t, parts, len(t.shape(parts[0])) - 1)
    return t.reshape(beside, (n * taps.count, high, wide, len(parts) * c))
