"""Data movement, composed of the graph's operators."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from luthier.schedules import Tensor

from ..graph import literal
from ..graph.emitter import MOST_IN_TABLE, Emitter


def concat(t: Emitter, parts: Sequence[int], axis: int) -> int:
    """The parts one after another along an axis."""
    return parts[0] if len(parts) == 1 else t.emit("concat", *parts, axis=axis)


def split(t: Emitter, x: int, sizes: Sequence[int], axis: int) -> tuple[int, ...]:
    """Parts of these sizes along an axis."""
    ends = zip(sizes, accumulate(sizes), strict=True)
    return tuple(strided_slice(t, x, [axis], [(end - size, end, 1)]) for size, end in ends)


def strided_slice(
    t: Emitter,
    x: int,
    axes: Sequence[int],
    bounds: Sequence[tuple[int, int, int]],
    *,
    kept: bool = False,
) -> int:
    """Python's slices, (start, stop, step) as ``slice.indices`` gives them, along some axes."""
    shape = list(t.shape(x))
    begin, steps = [0] * len(shape), [1] * len(shape)
    for axis, (start, stop, step) in zip(axes, bounds, strict=True):
        begin[axis], steps[axis] = start, step
        shape[axis] = len(range(start, stop, step))
    return t.slice(x, begin, shape, steps, kept=kept)


def take(t: Emitter, x: int, indices: int, axis: int) -> int:
    """NumPy's take along an axis; a single known index is a slice."""
    shape = t.shape(x)
    known = t.known(indices)
    if known is not None and known.size == 1:
        index = int(known.item()) % shape[axis]
        out = (*shape[:axis], *known.shape, *shape[axis + 1 :])
        return t.reshape(strided_slice(t, x, [axis], [(index, index + 1, 1)]), out)
    if known is not None:
        from_start = np.where(known < 0, known + shape[axis], known).astype(known.dtype)
        indices = t.constant(from_start)
    return t.emit("take", x, indices, axis=axis)


def pad(
    t: Emitter,
    x: int,
    widths: Sequence[tuple[int, int]],
    mode: str = "constant",
    value: float = 0,
    *,
    cuts: bool = False,
    pads: bool = False,
) -> int:
    """Elements before and after along each dimension; negative widths cut off, which comes first.

    ``mode``: "constant", "edge", "wrap", or "reflect", there and back as often as is wanted. Where
    it ``cuts`` or ``pads`` it does so by 0, too.
    """
    shape, dtype = t.shape(x), t.dtype(x)
    out = Tensor(tuple(d + a + b for d, (a, b) in zip(shape, widths, strict=True)), dtype)
    if cuts or any(w < 0 for pair in widths for w in pair):
        sides = zip(shape, widths, strict=True)
        if any(d + min(a, 0) + min(b, 0) < 1 for d, (a, b) in sides):  # nothing of it is left
            if mode != "constant":
                raise t.unsupported("padding of nothing by its edge")
            return t.broadcast(t.number(value, dtype), out.shape)
        sides = zip(shape, widths, strict=True)
        bounds = [(max(-a, 0), d - max(-b, 0), 1) for d, (a, b) in sides]
        x = strided_slice(t, x, range(len(shape)), bounds, kept=cuts)
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    if not pads and not any(w for pair in widths for w in pair):
        return x
    wide = any(max(pair) >= size for pair, size in zip(widths, t.shape(x), strict=True))
    if mode == "wrap" or (mode == "reflect" and wide):
        return _repeated(t, x, widths, mode)
    fill = literal(value, dtype) if mode == "constant" else 0
    before = tuple(a for a, _ in widths)
    return t.emit("pad", x, out=out, before=before, value=fill, mode=mode)


def _repeated(t: Emitter, x: int, widths: Sequence[tuple[int, int]], mode: str) -> int:
    """By tables of what is at each place, along each dimension that becomes longer."""
    for axis, (size, (before, after)) in enumerate(zip(t.shape(x), widths, strict=True)):
        if before or after:
            count = before + size + after
            if count > MOST_IN_TABLE:
                raise t.unsupported(f"a table of {count} elements")
            places = np.arange(-before, size + after)
            if mode == "wrap":
                places %= size
            else:  # where it was after the way there and back, the ends once
                period = max(1, 2 * (size - 1))
                places %= period
                places = np.minimum(places, period - places)
            x = take(t, x, t.constant(places), axis)
    return x


def tile(t: Emitter, x: int, repeats: Sequence[int]) -> int:
    """NumPy's tile, a number of repetitions for each dimension."""
    shape = t.shape(x)
    split_shape = [d for size in shape for d in (1, size)]
    spread = [d for size, times in zip(shape, repeats, strict=True) for d in (times, size)]
    out = [size * times for size, times in zip(shape, repeats, strict=True)]
    return t.reshape(t.broadcast(t.reshape(x, split_shape), spread), out)


def flip(t: Emitter, x: int, axis: int) -> int:
    """Elements in the opposite order along an axis."""
    return strided_slice(t, x, [axis], [(t.shape(x)[axis] - 1, -1, -1)])
