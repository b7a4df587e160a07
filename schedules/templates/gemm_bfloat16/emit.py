"""Matrix products of bfloat16 with sums in float32: those of ``gemm_integer`` in pairs, where what
is not packed is rounded on its way into scratch.

Constants are packed in bfloat16. Rows of A are rounded by each chunk that reads them; so is a B
that is not constant, panel by panel, whether it lies in rows or in columns.
"""

from __future__ import annotations

from functools import partial

from ...emit.bfloat16 import bring_run, load_column_pairs, load_some, mixed_pair, zeros
from ...emit.evaluator import Point
from ...emit.lanes import Rows
from ...emit.rounded_rows import store_rows
from ...emit.tile import RegisterTile, column_parts, vector_index
from ...tir.indices import Expr, Index, ceildiv
from ...tir.point import matrix_point
from ...tvm_late import tirx
from ..form import Emitted
from ..gemm.emit import batch_offset
from ..gemm_integer.form import Knobs
from ..gemm_integer.nest import ProductNest
from .form import Bfloat16Gemm


def kernel(form: Bfloat16Gemm, knobs: Knobs) -> Emitted:
    """One phase; chunks are (batch, block of panels, block of rows)."""
    return Bfloat16Nest(form, knobs).build()


class Bfloat16Nest(ProductNest):
    """The numbers of one product, and the loop nest over them."""

    def __init__(self, form: Bfloat16Gemm, knobs: Knobs) -> None:
        super().__init__(form, knobs)
        if knobs.weights == "tiles" and knobs.order == "panels":
            self.ahead = 1

    def gather(self, at: Index, row0: Index, rows: int, place: Index) -> None:
        """Rows of A into scratch, and zeros that fill the last step."""
        if not self.gathers:
            return
        builder, p = self.builder, self.p
        a0 = batch_offset(self.workload, p, p.a, at, p.m * p.k) + row0 * p.k
        with builder.loop(rows, "row") as row:
            begin = builder.let((place + row) * self.pitch)
            source = builder[f"in{p.a}"], builder.let(a0 + row * p.k)
            bring_run(builder, source, (builder["rows"], begin), p.k)
            for i in range(p.k, self.blocks * self.micro.steps):
                builder.store(builder["rows"], begin + i, tirx.const(0, self.micro.a.name))

    def stage(self, at: Index, panel: Index) -> None:
        """A panel of a B that is not packed into scratch."""
        builder, p = self.builder, self.p
        if p.packed:
            return
        for column0, columns in builder.block(panel, self.width, p.n):
            matrix = batch_offset(self.workload, p, p.b, at, p.n * p.k)
            stage = self._stage_columns if p.transpose_b else self._stage_rows
            stage(builder.let(matrix + column0 * (p.k if p.transpose_b else 1)), columns)
            for k in range(ceildiv(p.k, self.micro.steps), self.blocks):
                for part, _ in column_parts(columns, self.lanes):
                    self._keep(part, k, zeros(), zeros())

    def _stage_rows(self, first: Index, columns: int) -> None:
        """Two rows at a time, from an element on."""
        builder, p, lanes = self.builder, self.p, self.lanes
        source = builder[f"in{p.b}"]

        def pair(k: Index, both: bool) -> None:
            for part, _ in column_parts(columns, lanes):
                count = min(lanes, columns - part)
                begin = builder.let(first + k * 2 * p.n + part)
                low = load_some(builder, source, begin, count)
                high = load_some(builder, source, begin + p.n, count) if both else zeros()
                self._keep(part, k, low, high)

        with builder.loop(p.k // 2, "pair") as k:
            pair(k, both=True)
        if p.k % 2:
            pair(p.k // 2, both=False)

    def _stage_columns(self, first: Index, columns: int) -> None:
        """Columns of B that lie in rows, from an element on."""
        builder, p, lanes = self.builder, self.p, self.lanes
        for part, _ in column_parts(columns, lanes):
            count = min(lanes, columns - part)
            rows = Rows(builder[f"in{p.b}"], first + part * p.k, p.k, count, p.k)
            load_column_pairs(builder, rows, partial(self._keep, part))

    def _keep(self, part: int, k: Index, low: Expr, high: Expr) -> None:
        """Two vectors of neighbours along K into the panel."""
        place = vector_index((k * self.width + part) * 2, 2 * self.lanes)
        self.builder.store(self.builder["panel"], place, mixed_pair(self.builder, low, high))

    def store(self, register: RegisterTile, row0: Index, column0: Index, columns: int) -> None:
        """What is made of the sums of some rows and columns."""
        p, builder = self.p, self.builder
        shape = self.evaluator.workload.output.shape
        first = 0 if self.panels == 1 else builder.let(column0)

        def point(row: Index, column: Index) -> Point:
            return matrix_point(shape, p.n, row0 + row, first + column)

        store_rows(register, self.evaluator, columns, point)
