"""Which pixels of an image a model's are made of, and with which weights.

All is arithmetic over values of a graph, whole numbers as far as that goes: sizes that are known
give tables of constants, and those that are open are computed with by each run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .nodes import Array, Nodes, Value
from .preprocess import Preprocess, fraction


@dataclass(frozen=True)
class Line:
    """Along one side of the image: pixels from ``begin`` on, so many of ``length``, become ``out``,
    of which number ``first`` is the model's first; it is negative where the model's is padding.

    Each is a whole number, int64[1].
    """

    begin: Value
    length: Value
    out: Value
    first: Value


class Table(NamedTuple):
    """Of each of the model's pixels along a side the pixels that it is the weighted sum of.

    ``indices`` are int64[taps, pixels], ``weights`` float32 of the same shape, or None where each
    is one pixel. ``outside`` is bool[1, pixels], true where all is padding; None where nothing is.
    """

    indices: Value
    weights: Value | None = None
    outside: Value | None = None
    taps: int = 1


def lines(given: Preprocess, height: Value, width: Value, to: tuple[int, int]) -> tuple[Line, Line]:
    """Along the height and the width (int64[1] each) of an image that becomes as large as
    ``to``."""
    begins, lengths = zip(
        *(_cropped(given, i, n) for i, n in enumerate((height, width))), strict=True
    )
    whole = height.nodes.constant
    if given.resize is None:
        outs, firsts = lengths, [whole([0])] * 2
    elif given.shorter is not None:
        short = lengths[0].least(lengths[1])
        outs = tuple(n * given.shorter // short for n in lengths)
        firsts = [_middle(out - size) for out, size in zip(outs, to, strict=True)]
    elif given.letterbox:
        outs = _fitted(lengths, to)
        firsts = [
            (size - out) // 2 * -1
            for out, size in zip(outs, map(lambda n: whole([n]), to), strict=True)
        ]
    else:
        outs, firsts = tuple(whole([n]) for n in to), [whole([0])] * 2
    first, second = (Line(*each) for each in zip(begins, lengths, outs, firsts, strict=True))
    return first, second


def _cropped(given: Preprocess, side: int, size: Value) -> tuple[Value, Value]:
    """Where the crop begins, and its length."""
    if given.crop is None:
        return size.nodes.constant([0]), size
    if isinstance(given.crop, tuple):
        length = size.nodes.constant([given.crop[side]])
    else:
        over, under = fraction(given.crop)
        length = (size * over // under).most(1)
    return _middle(size - length), length


def _middle(rest: Value) -> Value:
    """Half, halves to even, as torchvision's ``CenterCrop``."""
    half = rest // 2
    return half + (rest - half * 2) * (half - half // 2 * 2)


def _fitted(lengths: tuple[Value, ...], to: tuple[int, int]) -> tuple[Value, Value]:
    """As large as fits with the aspect kept, rounded, halves up, at least one pixel."""
    (height, width), (rows, columns) = lengths, to
    tall = (height * columns) < (width * rows)  # else its height is what limits it
    as_tall = ((height * (2 * columns) + width) // (width * 2)).most(1)
    as_wide = ((width * (2 * rows) + height) // (height * 2)).most(1)
    whole = height.nodes.constant
    return tall.where(as_tall, whole([rows])), tall.where(whole([columns]), as_wide)


def table(line: Line, pixels: Array, given: Preprocess, taps: int) -> Table:
    """Of these of the model's pixels; ``taps`` are as ``most_taps`` gives them."""
    whole = line.begin.nodes.constant
    place = whole(pixels[None]) + line.first
    if not given.letterbox:
        indices, weights = _taps(line, place, given.resize, taps)
        return Table(indices + line.begin, weights, taps=taps)
    outside = line.begin.nodes.emit("Or", place < 0, (line.out - 1) < place, dtype="bool")
    indices, weights = _taps(line, place.most(0).least(line.out - 1), given.resize, taps)
    return Table(indices + line.begin, weights, outside, taps)


def most_taps(resize: str | None, ratio: float) -> int:
    """Of how many pixels one is made where so many become one at most."""
    if resize in (None, "nearest"):
        return 1
    if resize == "bilinear":
        return 2
    return 2 * math.ceil(_SUPPORT[resize or ""] * max(ratio, 1.0)) + 1


def _taps(line: Line, place: Value, resize: str | None, taps: int) -> tuple[Value, Value | None]:
    """Indices in the crop and weights, of pixels that are among the ``out``."""
    if resize is None:
        return place, None
    twice = (place * 2 + 1) * line.length  # the middle of a pixel, in units of 1 / (2 out)
    if resize == "nearest":
        return twice // (line.out * 2), None
    if resize == "bilinear":
        return _bilinear(line, twice, place.nodes)
    return _antialiased(line, twice, resize, taps)


def _bilinear(line: Line, twice: Value, nodes: Nodes) -> tuple[Value, Value]:
    """Of the two pixels whose middles it lies between; the ends go on outside."""
    from_first = (twice - line.out).most(0)
    low = from_first // (line.out * 2)
    part = (from_first - low * line.out * 2).cast("float64") / (line.out * 2).cast("float64")
    which = nodes.constant([[0], [1]])
    indices = (low + which).least(line.length - 1)
    sign, first = nodes.constant([[-1.0], [1.0]]), nodes.constant([[1.0], [0.0]])
    return indices, (part * sign + first).cast("float32")


def _antialiased(line: Line, twice: Value, resize: str, taps: int) -> tuple[Value, Value]:
    """As Pillow's ``resize``: a filter that is as wide as the pixel is, cut off at the ends."""
    nodes = twice.nodes
    out, length = line.out.cast("float64"), line.length.cast("float64")
    centre, wide = twice.cast("float64") / (out * 2), (length / out).most(1)
    reach = wide * _SUPPORT[resize]
    first = (centre - reach + 0.5).floor().most(0)
    last = (centre + reach + 0.5).floor().least(length)
    place = first + nodes.constant(np.arange(taps, dtype=np.float64)[:, None])
    distance = ((place - centre + 0.5) / wide).magnitude()
    weights = _triangle(distance) if resize == "bilinear-antialias" else _cubic(distance)
    weights = (place < last).where(weights, weights * 0)
    indices = place.least(length - 1).cast("int64")
    return indices, (weights / weights.sum(0)).cast("float32")


_SUPPORT = {"bilinear-antialias": 1.0, "bicubic-antialias": 2.0}


def _triangle(distance: Value) -> Value:
    return (1 - distance).most(0)


def _cubic(distance: Value) -> Value:
    """Keys 1981, with a = -0.5."""
    d = distance
    near = (d * 1.5 - 2.5) * d * d + 1
    far = ((d * -0.5 + 2.5) * d - 4) * d + 2
    return (d < 1).where(near, (d < 2).where(far, d * 0))
