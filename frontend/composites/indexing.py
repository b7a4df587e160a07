"""Gathers and scatters, and the sampling of images, which is left to Relax.

The attributes of what is left to Relax are those of its call: ``attrs``, the type of its attribute
object, and the fields of that (see ``schedules.relax_op``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from luthier.schedules import Tensor
from luthier.schedules.ir.dtype import Kind

from ..graph.emitter import Emitter


def wrapped(t: Emitter, indices: int, sizes: int | Sequence[int]) -> int:
    """Indices below zero count from the end of dimensions of these ``sizes``."""
    dtype = t.dtype(indices)
    if t.type(indices).element.kind is Kind.UINT:
        return indices
    below = t.emit("less", indices, t.number(0, dtype))
    from_end = t.emit("add", indices, t.constant(np.asarray(sizes, dtype)))
    return t.emit("where", below, from_end, indices)


def gather_elements(t: Emitter, x: int, indices: int, axis: int) -> int:
    """NumPy's take_along_axis; indices may have fewer elements along the other dimensions."""
    return t.emit("take_along", x, indices, axis=axis)


def gather_nd(t: Emitter, x: int, indices: int, batch_dims: int) -> int:
    """Of each place [..., k] in ``indices`` what is there in ``x``, within each batch."""
    *outer, count = t.shape(indices)
    shape, end = t.shape(x), batch_dims + count
    out = Tensor((*outer, *shape[end:]), t.dtype(x))
    return t.emit("gather_nd", x, indices, out=out, batch_dims=batch_dims)


def scatter_nd(t: Emitter, x: int, indices: int, updates: int, reduction: str) -> int:
    """``x`` with ``updates`` at places [..., k]; ``reduction``: update, add, mul, min or max."""
    return _scattered(t, "scatter_nd", x, indices, updates, reduction)


def scatter_elements(
    t: Emitter, x: int, indices: int, updates: int, axis: int, reduction: str
) -> int:
    """``x`` with each of ``updates`` at its own place, but for the one along ``axis``."""
    return _scattered(t, "scatter_along", x, indices, updates, reduction, axis=axis)


def _scattered(
    t: Emitter, op: str, x: int, places: int, updates: int, reduction: str, **attrs: Any
) -> int:
    """Sums and products of float16 are rounded once; those of truth values are of 0 and 1."""
    dtype = t.dtype(x)
    wide = {"bool": "int32", "float16": "float32"}.get(dtype, dtype)
    if reduction == "update":
        wide = dtype
    of = t.cast(x, wide), t.cast(places, "int64"), t.cast(updates, wide)
    return t.cast(t.emit(op, *of, reduction=reduction, **attrs), dtype)
