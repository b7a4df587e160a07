"""Products of few rows with a matrix that lies in columns: C[M,N] = A[M,K] B[N,K].

Lanes run along K in both, so B is read once, as it lies, in whole vectors, and nothing is packed:
it is what memory delivers that counts where there are so few rows. Sums of as many columns as
there are lanes are added up across lanes together. A chunk is some such groups of columns.

Columns are a loop of the kernel, not copies of its body: prefetchers follow each load instruction,
and one that comes back only several columns later lets them fetch what is not read next.

Knobs: ``columns`` (of B that are read at once), ``groups`` (of columns in a chunk).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import reduce
from itertools import product

from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...emit.lanes import lane_sums
from ...emit.tile import splat, vector_index
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, split_index, tail
from ...tvm_late import tirx
from ..collapse import collapse
from ..form import Emitted
from ..fused import epilogue
from ..gemm.emit import batch_offset
from ..slots import phase_builder
from .form import Dots, Knobs


def kernel(form: Dots, knobs: Knobs) -> Emitted:
    """One phase; chunks are (batch, groups of columns)."""
    return _Dots(form, knobs).build()


class _Dots:
    def __init__(self, form: Dots, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.p, self.wide, self.groups = form.product, form.wide, form.all_groups

    def build(self) -> Emitted:
        """The kernel."""
        p = self.p
        self.builder: PhaseBuilder = phase_builder(self.form, {})
        builder = self.builder
        after = collapse(epilogue(self.workload), keep_last=True)
        self.evaluator = Evaluator(after, builder, anchor=0)
        blocks = ceildiv(self.groups, self.knobs.groups)
        batch = math.prod(p.batch)
        with builder.chunk_loop() as chunk:
            group0 = builder.let(modulo(chunk, blocks) * self.knobs.groups)
            at = 0 if batch == 1 else builder.let(divide(chunk, blocks))
            count = extent(group0, self.knobs.groups, self.groups)
            with builder.loop(count, "group", group0) as group:
                for column0, columns in builder.block(group, self.wide, p.n):
                    self._group(at, builder.let(column0), columns)
        return Emitted((builder.finish(batch * blocks),))

    def _group(self, at: Index, column0: Index, columns: int) -> None:
        builder, p, wide = self.builder, self.p, self.wide
        a0 = builder.let(batch_offset(self.workload, p, p.a, at, p.m * p.k))
        b0 = builder.let(batch_offset(self.workload, p, p.b, at, p.n * p.k) + column0 * p.k)
        rows = [builder.let(a0 + row * p.k) for row in range(p.m)]
        sums = [self._zeros() for _ in rows]
        at_once = self.knobs.columns
        with builder.loop(columns // at_once, "columns") as block:
            self._columns(sums, builder.let(block * at_once), at_once, rows, b0)
        if rest := columns % at_once:
            self._columns(sums, columns - rest, rest, rows, b0)
        for row, products in enumerate(sums):
            each = [builder.load(products, vector_index(c * wide, wide)) for c in range(wide)]
            held = builder.local(wide)
            builder.store(held, vector_index(0, wide), lane_sums(builder, each, wide))
            self._store(held, builder.let(at * p.m + row), column0, columns)

    def _columns(
        self, sums: Sequence[Expr], first: Index, count: int, rows: Sequence[Index], b0: Index
    ) -> None:
        """Products of all rows of A with some neighbouring columns."""
        at_once = self.form.rows_at_once(self.knobs)
        for row in range(0, self.p.m, at_once):
            few = slice(row, row + at_once)
            self._add(sums[few], first, count, rows[few], b0)

    def _zeros(self) -> Expr:
        """Sums of a row, by column; those of columns that are not there stay zero."""
        zero, sums = splat(tirx.const(0.0, "float32"), self.wide), self.builder.local(self.wide**2)
        for column in range(self.wide):
            self.builder.store(sums, vector_index(column * self.wide, self.wide), zero)
        return sums

    def _add(
        self, sums: Sequence[Expr], column0: Index, count: int, rows: Sequence[Index], b0: Index
    ) -> None:
        """Products of some rows of A with some columns. Of few columns, sums of several parts of
        the depth take turns, so that none waits for the one before it."""
        builder, p, wide = self.builder, self.p, self.wide
        parts, turns = self.form.parts, self.form.turns(count)
        columns = [builder.let(b0 + (column0 + i) * p.k) for i in range(count)]
        places = [vector_index(turn * wide, wide) for turn in range(turns)]
        totals = [[builder.local(wide * turns) for _ in columns] for _ in rows]
        zero = splat(tirx.const(0.0, "float32"), wide)
        for total, place in product((t for row in totals for t in row), places):
            builder.store(total, place, zero)

        with builder.loop(p.k // wide // parts, "k") as block:
            for part in range(parts):
                k, place = builder.let((block * parts + part) * wide), places[part % turns]
                a = [
                    builder.let(builder.load(builder[f"in{p.a}"], vector_index(row + k, wide)))
                    for row in rows
                ]
                for i, column in enumerate(columns):
                    b = builder.load(builder[f"in{p.b}"], vector_index(column + k, wide))
                    for row, own in zip(a, totals, strict=True):
                        builder.store(own[i], place, builder.load(own[i], place) + row * b)
        for products, own in zip(sums, totals, strict=True):
            for i, total in enumerate(own):
                whole = reduce(operator.add, [builder.load(total, place) for place in places])
                builder.store(products, vector_index((column0 + i) * wide, wide), whole)

    def _store(self, held: Expr, row: Index, column0: Index, columns: int) -> None:
        builder, shape = self.builder, self.evaluator.workload.output.shape
        for offset, width in tail(0, columns, self.wide):
            with builder.vector(width) as lane:
                n = column0 + offset + lane
                point = Point(shape, (*split_index(row, shape[:-1]), n), row * self.p.n + n)
                self.evaluator.store(point, builder.load(held, offset + lane))
