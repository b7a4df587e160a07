"""Where in an image the maxima of a pooling are, composed of the graph's operators."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from ..graph import Array
from ..graph.emitter import Emitter
from . import movement
from .windows import Window


def places_of_maxima(
    t: Emitter, x: int, window: Window, out: Sequence[int], *, by_columns: bool
) -> int:
    """The places of the first maxima of windows, as indices into all elements of ``x`` [n, c, ...].

    ``out`` is the shape of the pooling's result; ``by_columns`` counts an image's last two
    dimensions the other way round. One tap of the windows after the other.
    """
    n, c, *sizes = t.shape(x)
    count = len(sizes)
    reach = [(o - 1) * s + w for o, s, w in zip(out[2:], window.strides, window.spans, strict=True)]
    before = window.pads[:count]
    widths = [(b, max(r - b - d, 0)) for b, r, d in zip(before, reach, sizes, strict=True)]
    number = _numbered(sizes, by_columns=by_columns)
    number = np.pad(number, widths, constant_values=-1)[None, None]
    element = t.type(x).element
    lowest = -math.inf if element.is_float else element.limits[0]
    padded = movement.pad(t, x, [(0, 0), (0, 0), *widths], value=lowest)
    best, place = -1, -1
    for tap in itertools.product(*map(range, window.kernel)):
        begins = [k * d for k, d in zip(tap, window.dilations, strict=True)]
        bounds = [
            (b, b + (o - 1) * s + 1, s)
            for b, o, s in zip(begins, out[2:], window.strides, strict=True)
        ]
        seen = movement.strided_slice(t, padded, range(2, 2 + count), bounds)
        inner = tuple(slice(*bound) for bound in bounds)
        where = t.constant(np.ascontiguousarray(number[(slice(None), slice(None), *inner)]))
        if best < 0:
            best, place = seen, where
            continue
        none = t.emit("less", place, t.number(0, "int64"))
        better = t.emit("logical_or", t.emit("greater", seen, best), none)
        best, place = (t.emit("where", better, *pair) for pair in ((seen, best), (where, place)))
    images = np.arange(n * c).reshape(n, c, *[1] * count) * math.prod(sizes)
    return t.broadcast(t.emit("add", place, t.constant(images)), out)


def _numbered(sizes: Sequence[int], *, by_columns: bool) -> Array:
    """The elements of an image, numbered."""
    if not by_columns or len(sizes) < 2:
        return np.arange(math.prod(sizes)).reshape(sizes)
    *outer, rows, columns = sizes
    turned = np.arange(math.prod(sizes)).reshape(*outer, columns, rows)
    return np.swapaxes(turned, -1, -2)
