"""Pools of channels-last images, and of volumes by these.

A volume is pooled image by image, and then along its depth: a maximum is one of maxima, and a mean
of what is inside is one of means, since each image has as many elements inside of a window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from luthier.schedules import Tensor

from ..graph.emitter import Emitter
from .movement import pad
from .window import Window


def of_images(
    t: Emitter, op: str, x: int, window: Window, sizes: Sequence[int], *, include: bool = False
) -> int:
    """``x`` [n, h, w, c] to [n, *sizes, c]; ``include`` counts padding, as ``avg_pool2d`` may."""
    n, high, wide, c = t.shape(x)
    out = Tensor((n, *sizes, c), t.dtype(x))
    include = include and any(window.pads)
    if include and _overhangs((high, wide), sizes, window):
        top, left, bottom, right = window.pads
        x = pad(t, x, ((0, 0), (top, bottom), (left, right), (0, 0)))
        window, include = replace(window, pads=(0, 0, 0, 0)), False
    more = {"count_include_pad": include} if op == "avg_pool2d" else {}
    return t.emit(op, x, out=out, kernel=window.kernel, **window.geometry, **more)


def of_volumes(
    t: Emitter, op: str, x: int, window: Window, sizes: Sequence[int], *, include: bool = False
) -> int:
    """``x`` [n, d, h, w, c] to [n, *sizes, c]."""
    n, depth, *sides, c = t.shape(x)
    count, *new = sizes
    if not (window.is_still(1) and window.is_still(2)):
        x = t.reshape(x, (n * depth, *sides, c))
        x = of_images(t, op, x, window.along((1, 2)), new, include=include)
    if not window.is_still(0):
        area = math.prod(new)
        x, column = t.reshape(x, (n, depth, area, c)), window.along((0,)).as_column()
        x = of_images(t, op, x, column, (count, area), include=include)
    return t.reshape(x, (n, *sizes, c))


def _overhangs(sides: Sequence[int], places: Sequence[int], window: Window) -> bool:
    """Whether a window reaches beyond the padding."""
    return any(
        (places[i] - 1) * window.strides[i] + window.spans[i]
        > sides[i] + window.pads[i] + window.pads[2 + i]
        for i in (0, 1)
    )
