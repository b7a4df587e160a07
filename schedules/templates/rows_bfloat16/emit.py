"""Products of few rows with a matrix in bfloat16: those of ``few_bits``, whose matrix is rounded
when it is packed.
"""

from __future__ import annotations

from dataclasses import replace

from ...ir.dtype import DTYPES
from ...ir.kernel import Array, Packing
from ..few_bits.emit import kernel as coded_kernel
from ..few_bits.form import Knobs
from ..form import Emitted
from .form import Bfloat16Rows

_BFLOAT16 = DTYPES["bfloat16"]


def kernel(form: Bfloat16Rows, knobs: Knobs) -> Emitted:
    """One phase; chunks are groups of panels."""
    p = form.product
    made = coded_kernel(replace(form.inner, placement=form.placement), knobs)
    inner = made.packings[p.b]

    def apply(array: Array) -> Array:
        rows = array.reshape(p.n, p.k) if p.transpose_b else array.reshape(p.k, p.n).T
        return inner.apply(rows.astype(_BFLOAT16.numpy))

    packing = Packing(inner.shape, apply, _BFLOAT16.name)
    return replace(made, packings={**made.packings, p.b: packing})
