"""Matrix products of many rows with a matrix of few bits: those of ``gemm`` whose panels are made
while the kernel runs, here of the matrix's numbers and scales.
"""

from __future__ import annotations

from ...emit.tile import vector_index
from ...tir.indices import Expr, Index
from ..few_bits.panels import Panels
from ..form import Emitted
from ..gemm.emit import GemmNest
from ..gemm.form import Knobs
from .form import FewBitsGemm


def kernel(form: FewBitsGemm, knobs: Knobs) -> Emitted:
    """One phase; chunks are (block of panels, block of rows)."""
    return _FewBitsGemm(form, knobs).build()


class _FewBitsGemm(GemmNest):
    form: FewBitsGemm

    def __init__(self, form: FewBitsGemm, knobs: Knobs) -> None:
        super().__init__(form, knobs)
        pairs = form.target.costs.has_room
        self.matrix = Panels(form.matrix, form.lanes, knobs.vectors, pairs=pairs)
        self.packings = dict(self.matrix.packings)

    def stage(self, at: Index, panel: Index) -> None:
        """A panel in float32, [K][width]."""
        builder, p, lanes = self.builder, self.form.matrix, self.form.lanes
        full, rest = p.k // p.block, p.k % p.block

        def make(block: Index, numbers: int | None = None) -> None:
            scales = self.matrix.each(builder, p.scales, panel, block)
            zeros = self.matrix.each(builder, p.zeros, panel, block)

            def floats(vector: int, wide: Expr) -> Expr:
                centred = wide - zeros[vector] if zeros else wide
                return centred * scales[vector] if scales else centred

            def use(k: Index, _: int, vector: int, wide: Expr) -> None:
                index = vector_index(k * self.width + vector * lanes, lanes)
                builder.store(builder["stage"], index, wide)

            self.matrix.block(builder, panel, block, use, floats=floats, numbers=numbers)

        if full:
            with builder.loop(full, "block") as block:
                make(block)
        if rest:
            make(full, rest)
