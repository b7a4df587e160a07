"""Products of few rows with a matrix of few bits: C[M,N] = A[M,K] ((codes - zeros) * scales)[N,K].

Memory bounds them, so the matrix stays as it is until its numbers are in registers: they become
floats there, are multiplied and added up, and each block's sum is scaled. Of few columns and rows,
sums take turns, so that none waits for the one before. Where blocks have zero
points, these are taken away from the numbers first: an infinite element of A must not meet a
difference of two sums.

Knobs: ``vectors`` (of columns in a panel), ``panels`` (in a chunk).
"""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...emit.tile import splat, vector_index
from ...tir.indices import Expr, Index, ceildiv, extent, split_index, tail
from ...tvm_late import tirx
from ..collapse import collapse
from ..form import Emitted
from ..fused import epilogue
from ..slots import phase_builder
from .form import FewBits, Knobs
from .panels import Panels


def kernel(form: FewBits, knobs: Knobs) -> Emitted:
    """One phase; chunks are groups of panels."""
    return _FewBits(form, knobs).build()


class _FewBits:
    def __init__(self, form: FewBits, knobs: Knobs) -> None:
        self.form, self.knobs, self.p = form, knobs, form.product
        self.panels = Panels(form.product, form.lanes, knobs.vectors, pairs=form.pairs)
        self.turns = form.turns(knobs.vectors)
        self.zero = splat(tirx.const(0.0, "float32"), form.lanes)

    def build(self) -> Emitted:
        """The kernel."""
        packings = self.panels.packings
        self.builder: PhaseBuilder = phase_builder(self.form, packings)
        builder = self.builder
        after = collapse(epilogue(self.form.workload), keep_last=True)
        self.evaluator = Evaluator(after, builder, anchor=0)
        each = self.knobs.panels
        with builder.chunk_loop() as chunk:
            panel0 = builder.let(chunk * each)
            count = extent(panel0, each, self.panels.count)
            with builder.loop(count, "panel", panel0) as panel:
                for row0 in range(0, self.p.m, self.form.rows):
                    self._rows(panel, row0, min(self.form.rows, self.p.m - row0))
        phase = builder.finish(ceildiv(self.panels.count, each))
        return Emitted((phase,), packings)

    def _rows(self, panel: Index, row0: int, rows: int) -> None:
        """The products of some rows with a panel."""
        builder, size = self.builder, rows * self.panels.width
        totals, sums = builder.local(size), builder.local(size * self.turns)
        self._clear(totals, rows)
        full, rest = self.p.k // self.p.block, self.p.k % self.p.block
        if full:
            with builder.loop(full, "block") as block:
                self._block(panel, block, (row0, rows), (totals, sums))
        if rest:
            self._block(panel, full, (row0, rows), (totals, sums), rest)
        self._store(totals, panel, row0, rows)

    def _clear(self, sums: Expr, rows: int, turns: int = 1) -> None:
        for i in range(rows * self.panels.vectors * turns):
            self.builder.store(sums, self._at(i), self.zero)

    def _sum(self, sums: Expr, first: int, count: int) -> Expr:
        """Of neighbouring sums, two by two."""
        if count == 1:
            return self.builder.load(sums, self._at(first))
        half = count // 2
        return self._sum(sums, first, half) + self._sum(sums, first + half, half)

    def _at(self, vector: int) -> Index:
        return vector_index(vector * self.form.lanes, self.form.lanes)

    def _block(
        self,
        panel: Index,
        block: Index,
        some: tuple[int, int],
        kept: tuple[Expr, Expr],
        rest: int | None = None,
    ) -> None:
        """Adds what a block gives, or what its first ``rest`` elements do."""
        builder, p, panels = self.builder, self.p, self.panels
        (row0, rows), (totals, sums) = some, kept
        self._clear(sums, rows, self.turns)
        zeros = panels.each(builder, p.zeros, panel, block)
        a = builder[f"in{p.a}"]

        def floats(vector: int, numbers: Expr) -> Expr:
            return numbers - zeros[vector] if zeros else numbers

        def use(k: Index, number: int, vector: int, numbers: Expr) -> None:
            wide, turn = builder.let(numbers), number % self.turns
            for row in range(rows):
                at = self._at((row * panels.vectors + vector) * self.turns + turn)
                scalar = splat(builder.load(a, (row0 + row) * p.k + k), self.form.lanes)
                builder.store(sums, at, builder.load(sums, at) + scalar * wide)

        panels.block(builder, panel, block, use, floats=floats, numbers=rest)
        scales = panels.each(builder, p.scales, panel, block)
        for row in range(rows):
            for vector in range(panels.vectors):
                place = row * panels.vectors + vector
                at, more = self._at(place), self._sum(sums, place * self.turns, self.turns)
                more = more * scales[vector] if scales else more
                builder.store(totals, at, builder.load(totals, at) + more)

    def _store(self, totals: Expr, panel: Index, row0: int, rows: int) -> None:
        builder, panels, p = self.builder, self.panels, self.p
        shape = self.evaluator.workload.output.shape
        for column0, columns in builder.block(panel, panels.width, p.n):
            first = builder.let(column0)
            for row in range(rows):
                for offset, width in tail(0, columns, self.form.lanes):
                    with builder.vector(width) as lane:
                        n = first + offset + lane
                        m = row0 + row
                        point = Point(shape, (*split_index(m, shape[:-1]), n), m * p.n + n)
                        value = builder.load(totals, row * panels.width + offset + lane)
                        self.evaluator.store(point, value)
