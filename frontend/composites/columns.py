"""Sums of overlapping blocks: what is at the same place of an image comes together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..graph import Array
from ..graph.emitter import Emitter
from .window import Window


def image(t: Emitter, x: int, sizes: Sequence[int], window: Window, counts: Sequence[int]) -> int:
    """[n, c, sizes...] of blocks ``x`` [n, c * kernel, places], whose ``counts`` are by dimension.

    One dimension after the other: of the taps that fall on a place, few, their sum is taken.
    """
    rank, (n, channels, _) = len(sizes), t.shape(x)
    c = channels // math.prod(window.kernel)
    y = t.reshape(x, (n, c, *window.kernel, *counts))
    # The tap and the place of a dimension next to each other, those of the first dimension first.
    y = t.transpose(y, [0, 1, *(2 + i + rank * k for i in range(rank) for k in (0, 1))])
    done: tuple[int, ...] = ()
    for i, size in enumerate(sizes):
        kernel, count = window.kernel[i], counts[i]
        taps = _taps(size, kernel, count, window.strides[i], window.dilations[i], window.pads[i])
        rest = math.prod(
            a * b for a, b in zip(window.kernel[i + 1 :], counts[i + 1 :], strict=True)
        )
        rows = t.reshape(y, (n * c * math.prod(done), kernel * count, rest))
        found = t.emit("take", rows, t.constant(np.maximum(taps, 0).astype(np.int32)), axis=1)
        there = t.constant((taps >= 0)[:, :, None])
        found = t.emit("where", there, found, t.literal(0, found))
        y = t.emit("sum", found, axes=(2,), keepdims=False)
        done = (*done, size)
    return t.reshape(y, (n, c, *sizes))


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
