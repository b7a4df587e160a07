"""Products of few rows with a matrix that lies in columns: C[M,N] = A[M,K] B[N,K].

Lanes run along K in both, so B is read once, as it lies, in whole vectors, and nothing is packed:
it is what memory delivers that counts where there are so few rows. Sums of as many columns as
there are lanes are added up across lanes together. A chunk is some such groups of columns.

Several columns are read at once, from groups that lie far apart: a core's prefetchers follow a
stream in each page of memory, and one stream alone does not ask for as much as memory gives, while
neighbours are one stream that jumps. Columns of a group are a loop of the kernel, not copies of its
body: prefetchers follow each load instruction, too.

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
        blocks, at_once = ceildiv(self.groups, self.knobs.groups), self.knobs.columns
        batch = math.prod(p.batch)
        with builder.chunk_loop() as chunk:
            group0 = builder.let(modulo(chunk, blocks) * self.knobs.groups)
            at = 0 if batch == 1 else builder.let(divide(chunk, blocks))
            count = builder.let(extent(group0, self.knobs.groups, self.groups))
            done: Index = 0
            if at_once > 1:
                all_whole = p.n % self.wide == 0
                whole = count if all_whole else tirx.min(count, p.n // self.wide - group0)
                own = builder.let(divide(whole, at_once))
                done = builder.let(own * at_once)
                with builder.loop(own, "group", group0) as group:
                    firsts = [(group + i * own) * self.wide for i in range(at_once)]
                    self._groups(at, [builder.let(first) for first in firsts], self.wide)
            rest = count - done
            with builder.loop(rest, "group", group0 + done) as group:
                for column0, columns in builder.block(group, self.wide, p.n):
                    self._groups(at, [builder.let(column0)], columns)
        return Emitted((builder.finish(batch * blocks),))

    def _groups(self, at: Index, firsts: Sequence[Index], columns: int) -> None:
        """Groups of neighbouring columns, one of each group at a time."""
        builder, p, wide = self.builder, self.p, self.wide
        a0 = builder.let(batch_offset(self.workload, p, p.a, at, p.m * p.k))
        b0 = builder.let(batch_offset(self.workload, p, p.b, at, p.n * p.k))
        rows = [builder.let(a0 + row * p.k) for row in range(p.m)]
        sums = [[self._zeros() for _ in firsts] for _ in rows]
        few = self.form.rows_at_once(self.knobs)
        with builder.loop(columns, "column") as column:
            read = [builder.let(b0 + (first + column) * p.k) for first in firsts]
            for row in range(0, p.m, few):
                self._add(sums[row : row + few], column, rows[row : row + few], read)
        for row, own in enumerate(sums):
            for first, products in zip(firsts, own, strict=True):
                each = [builder.load(products, vector_index(c * wide, wide)) for c in range(wide)]
                held = builder.local(wide)
                builder.store(held, vector_index(0, wide), lane_sums(builder, each, wide))
                self._store(held, builder.let(at * p.m + row), first, columns)

    def _zeros(self) -> Expr:
        """Sums of a row, by column; those of columns that are not there stay zero."""
        zero, sums = splat(tirx.const(0.0, "float32"), self.wide), self.builder.local(self.wide**2)
        for column in range(self.wide):
            self.builder.store(sums, vector_index(column * self.wide, self.wide), zero)
        return sums

    def _add(
        self,
        sums: Sequence[Sequence[Expr]],
        column: Index,
        rows: Sequence[Index],
        columns: Sequence[Index],
    ) -> None:
        """Products of some rows of A with the columns of B at these places, each the ``column`` of
        its group. Of few columns, sums of several parts of the depth take turns, so that none waits
        for the one before it."""
        builder, p, wide = self.builder, self.p, self.wide
        parts, turns = self.form.parts, self.form.turns(len(columns))
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
                for i, at in enumerate(columns):
                    b = builder.load(builder[f"in{p.b}"], vector_index(at + k, wide))
                    for row, own in zip(a, totals, strict=True):
                        builder.store(own[i], place, builder.load(own[i], place) + row * b)
        for products, own in zip(sums, totals, strict=True):
            for to, total in zip(products, own, strict=True):
                whole = reduce(operator.add, [builder.load(total, place) for place in places])
                builder.store(to, vector_index(column * wide, wide), whole)

    def _store(self, held: Expr, row: Index, column0: Index, columns: int) -> None:
        builder, shape = self.builder, self.evaluator.workload.output.shape
        for offset, width in tail(0, columns, self.wide):
            with builder.vector(width) as lane:
                n = column0 + offset + lane
                point = Point(shape, (*split_index(row, shape[:-1]), n), row * self.p.n + n)
                self.evaluator.store(point, builder.load(held, offset + lane))
