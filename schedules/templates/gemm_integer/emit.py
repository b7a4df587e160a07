"""Products of whole numbers: C[M,N] = A[M,K] B[K,N], batched or not, and 1x1 convolutions.

A step multiplies several neighbours along K at once (see ``emit/dot_products``). A constant B is
packed as [panel][groups of K][panel width][step]; any other B is brought in that order panel by
panel while the kernel runs. Rows of A that are not as the instruction reads them are brought into
scratch once for all panels of a chunk: they lie an odd number of cache lines apart there, so that
they do not share the cache's sets.
Signed ones whose length is a multiple of the step are lifted in registers instead. Sums start from
a known bias where the instruction adds modulo 2^32, and where pairs are crossed (see
``emit/crossed_pairs``) from what scratch has for rows and columns. Where columns or the depth are
known only at run time, the kernels are those of ``gemm``, which widen each number where they read
it.

Knobs: ``rows``, ``vectors`` (the register tile), ``m_block`` (register tiles of rows in a chunk),
``n_block`` (panels in a chunk), ``order`` (the outer loop inside a chunk), ``unroll`` (steps of K
written out), ``weights`` (how packed numbers lie, and when those are widened that are narrower than
the instruction wants), ``k_parts`` (see ``in_parts``).
"""

from __future__ import annotations

from dataclasses import replace

from ...emit.micro_kernel import whole_multiply_add
from ..form import Emitted
from ..gemm.emit import kernel as gemm_kernel
from ..gemm.form import Gemm
from ..gemm.form import Knobs as GemmKnobs
from .form import IntegerGemm, Knobs
from .in_parts import NestInParts
from .nest import ProductNest


def kernel(form: IntegerGemm, knobs: Knobs) -> Emitted:
    """One phase; chunks are (batch, block of panels, block of rows)."""
    if form.is_open:
        return _of_open_sizes(form)
    nest = NestInParts if knobs.k_parts > 1 else ProductNest
    return nest(form, knobs).build()


def _of_open_sizes(form: IntegerGemm) -> Emitted:
    """One vector wide, and few rows high, so that few kernels are for all sizes."""
    product = replace(form.product, micro=whole_multiply_add(*form.types))
    gemm = Gemm(form.workload, form.target, product, placement=form.placement)
    rows = next(n for n in (4, 1) if n == 1 or product.m >= n)
    return gemm_kernel(gemm, GemmKnobs(rows, 1, 1, 1, "rows", 1, 0))
