"""Sums of overlapping blocks: what is at the same place of an image comes together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.schedules import Tensor
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.ir.size import ceildiv

from ..graph import Array
from ..graph.emitter import Emitter
from .window import Window

_MOST_GROUPS = 16  # whose sum is one expression


def image(t: Emitter, x: int, sizes: Sequence[int], window: Window, counts: Sequence[int]) -> int:
    """[n, c, sizes...] of blocks ``x`` [n, c * kernel, places], whose ``counts`` are by dimension.

    One dimension after the other: [n * c, taps, other taps and what is done, places, other places]
    becomes [n * c, other taps and what is done, size, other places].
    """
    n, channels, _ = t.shape(x)
    c, kernel = channels // math.prod(window.kernel), window.kernel
    done = 1
    for i, size in enumerate(sizes):
        along = _Along(size, kernel[i], counts[i], window.strides[i], window.dilations[i])
        rest, after = math.prod(kernel[i + 1 :]), math.prod(counts[i + 1 :])
        x = t.reshape(x, (n * c, kernel[i], rest * done, counts[i] * after))
        together = _added if along.is_regular else _taken
        x = together(t, x, along, window.pads[i], after)
        done *= size
    return t.reshape(x, (n, c, *sizes))


@dataclass(frozen=True)
class _Along:
    """A dimension of an image, and the taps and places of blocks along it."""

    size: int
    kernel: int
    count: int
    stride: int
    dilation: int

    @property
    def groups(self) -> int:
        """As many taps as a stride has elements lie side by side: they never fall on one place."""
        return ceildiv(self.kernel, self.stride)

    @property
    def is_regular(self) -> bool:
        """Whether each of few such groups is moved by the same."""
        return min(self.stride, self.dilation) == 1 and self.groups <= _MOST_GROUPS


def _added(t: Emitter, x: int, along: _Along, before: int, after: int) -> int:
    """Groups of taps as rows between zeros, which are added up."""
    outer, _, rest, _ = t.shape(x)
    stride, dtype = along.stride, t.dtype(x)
    length = ceildiv(before + along.size, stride)
    total = None
    for group in range(along.groups):
        first, shift = group * stride, group * along.dilation
        taps, count = min(stride, along.kernel - first), min(along.count, length - shift)
        if count <= 0:
            continue
        part = t.slice(x, (0, first, 0, 0), (outer, taps, rest, count * after), (1,) * 4)
        part = t.cast(part, DTYPES[dtype].accumulator.name)
        shape = (outer, stride, rest, length * after)
        if shape != t.shape(part):
            out, edge = Tensor(shape, t.dtype(part)), (0, 0, 0, shift * after)
            part = t.emit("pad", part, out=out, before=edge, mode="constant", value=0)
        total = part if total is None else t.emit("add", total, part)
    assert total is not None  # the first group is not moved
    found = t.cast(total, dtype)
    if stride > 1:
        found = t.reshape(found, (outer, stride, rest, length, after))
        found = t.transpose(found, (0, 2, 3, 1, 4))
    found = t.reshape(found, (outer, rest, length * stride * after))
    return t.slice(found, (0, 0, before * after), (outer, rest, along.size * after), (1,) * 3)


def _taken(t: Emitter, x: int, along: _Along, before: int, after: int) -> int:
    """Of the taps that fall on a place, few, the sum is taken."""
    outer, kernel, rest, _ = t.shape(x)
    taps = _taps(along.size, kernel, along.count, along.stride, along.dilation, before)
    rows = t.reshape(t.transpose(x, (0, 2, 1, 3)), (outer * rest, kernel * along.count, after))
    found = t.emit("take", rows, t.constant(np.maximum(taps, 0).astype(np.int32)), axis=1)
    there = t.constant((taps >= 0)[:, :, None])
    found = t.emit("where", there, found, t.literal(0, found))
    return t.emit("sum", found, axes=(2,), keepdims=False)


def _taps(size: int, kernel: int, count: int, stride: int, dilation: int, before: int) -> Array:
    """[size, most]: which of kernel * count elements fall on each place, then -1."""
    tap, block = np.divmod(np.arange(kernel * count), count)
    place = block * stride + tap * dilation - before
    inside = np.flatnonzero((place >= 0) & (place < size))
    order = inside[np.argsort(place[inside], kind="stable")]
    numbers = np.bincount(place[order], minlength=size)
    rank = np.arange(order.size) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    found = np.full((size, max(int(numbers.max(initial=1)), 1)), -1)
    found[place[order], rank] = order
    return found
