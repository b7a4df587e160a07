"""Numbers of places along dimensions, which may be as many as are known only at run time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.schedules import Tensor

from ..graph.emitter import Emitter


def numbers(t: Emitter, shape: Sequence[int], axis: int, dtype: str = "int64") -> int:
    """0, 1, ... along one dimension of ``shape``; the others are 1."""
    found = t.emit("iota", out=Tensor((shape[axis],), dtype), start=0, step=1)
    return t.reshape(found, [d if i == axis else 1 for i, d in enumerate(shape)])


def along(t: Emitter, x: int, rank: int, axis: int) -> int:
    """A vector as a tensor of ``rank`` dimensions, of which but ``axis`` all are 1."""
    return t.reshape(x, [t.type(x).size if i == axis else 1 for i in range(rank)])


def seen(t: Emitter, count: int, stride: int, kernel: int, dilation: int, before: int) -> int:
    """int32[count, kernel]: what each tap of a window sees at each place, padding of the input
    by ``before`` elements counted as below 0."""
    first = t.emit("iota", out=Tensor((count,), "int32"), start=-before, step=stride)
    taps = np.arange(kernel, dtype=np.int32) * np.int32(dilation)
    return t.emit("add", t.reshape(first, (count, 1)), t.constant(taps))


def inside(t: Emitter, index: int, size: int) -> int:
    """Whether 0 <= index < size."""
    low = t.emit("greater_equal", index, t.literal(0, index))
    return t.emit("logical_and", low, t.emit("less", index, t.literal(size, index)))


def bounded(t: Emitter, index: int, size: int) -> int:
    """Limited to 0 .. size - 1."""
    above = t.emit("maximum", index, t.literal(0, index))
    return t.emit("minimum", above, t.literal(size - 1, index))
