"""Gathers and scatters that are left to Relax, with indices that stay inside.

A node's attributes are those of the Relax call: ``attrs``, the type of its attribute object, and
the fields of that (see ``schedules.relax_op``).
"""

from __future__ import annotations

from collections.abc import Sequence

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


def _bounded(t: Emitter, indices: int, sizes: int | Sequence[int]) -> int:
    """Indices kept inside dimensions of these sizes: TVM's loops would leave the tensor."""
    dtype = t.dtype(indices)
    last = t.constant((np.asarray(sizes) - 1).astype(dtype))
    return t.emit("minimum", t.emit("maximum", indices, t.literal(0, indices)), last)


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
    out = t.type(x)
    places = _bounded(t, indices, out.shape[: t.shape(indices)[-1]])
    # TVM has no arithmetic of truth values: sums and products of 0 and 1 say the same.
    counts = out.dtype == "bool" and reduction != "update"
    if counts:
        x, updates = t.cast(x, "int32"), t.cast(updates, "int32")
    attrs = {"attrs": "relax.attrs.ScatterNDAttrs", "reduction": reduction}
    return t.cast(t.emit("relax.scatter_nd", x, places, updates, out=t.type(x), **attrs), out.dtype)
