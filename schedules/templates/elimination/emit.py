"""Determinants by elimination, the largest element of a column being the pivot.

A chunk is some matrices, each of which is copied into the scratch and becomes triangular there.

``grain``: input elements in a chunk, whole matrices.
"""

from __future__ import annotations

from typing import Any

from ...emit.builder import PhaseBuilder
from ...ir.size import at_least
from ...tir import arithmetic, compare
from ...tir.indices import Expr, Index, ceildiv, extent
from ...tir.literals import constant
from ...tvm_late import tirx
from ..by_grain import Grain
from ..form import Emitted
from ..radix import Scratch
from ..slots import phase_builder
from .form import Elimination


def kernel(form: Elimination, knobs: Grain) -> Emitted:
    """One phase."""
    count, rows = form.sizes
    group = at_least(knobs.grain // at_least(rows * rows, 1), 1)
    scratch = Scratch()
    scratch.add("matrix", rows * rows, form.workload.output.dtype)
    builder = phase_builder(form, {}, scratch.slots)
    with builder.chunk_loop() as chunk:
        first = builder.let(chunk * group)
        with builder.loop(extent(first, group, count), "which", first) as which:
            _Matrix(builder, form, which).eliminate()
    return Emitted((builder.finish(ceildiv(count, group)),), scratch=scratch.size)


class _Matrix:
    """One matrix; ``best`` is the row of a pivot, ``total`` the product of the pivots so far."""

    def __init__(self, builder: PhaseBuilder, form: Elimination, which: Index) -> None:
        self.builder, self.which = builder, which
        self.rows, self.dtype = form.sizes[1], form.workload.output.dtype
        self.best, self.total = builder.local(1, "int32"), builder.local(1, self.dtype)
        self.most, self.factor = (builder.local(1, self.dtype) for _ in range(2))

    def eliminate(self) -> None:
        """Write its determinant."""
        builder, rows = self.builder, self.rows
        begin = builder.let(self.which * (rows * rows))
        with builder.loop(rows * rows, "element") as at:
            builder.store(builder["matrix"], at, builder.load(builder["in0"], begin + at))
        builder.store(self.total, 0, constant(1, self.dtype))
        with builder.loop(rows, "step") as step:
            self._find_pivot(step)
            self._swap(step)
            pivot = self._at(step, step)
            product = arithmetic.multiply(builder.load(self.total, 0), pivot, builder.let)
            builder.store(self.total, 0, product)
            with builder.when(tirx.Not(compare.equal(pivot, arithmetic.number(0, self.dtype)))):
                self._clear(step)
        builder.store(builder["out"], self.which, builder.load(self.total, 0))

    def _at(self, row: Index, column: Index) -> Expr:
        return self.builder.load(self.builder["matrix"], row * self.rows + column)

    def _put(self, row: Index, column: Index, value: Any) -> None:
        self.builder.store(self.builder["matrix"], row * self.rows + column, value)

    def _size(self, row: Index, column: Index) -> Expr:
        return arithmetic.absolute(self._at(row, column), self.builder.let)

    def _find_pivot(self, step: Index) -> None:
        builder = self.builder
        builder.store(self.best, 0, step)
        builder.store(self.most, 0, self._size(step, step))
        with builder.loop(self.rows - 1 - step, "row", step + 1) as row:
            larger = compare.less(builder.load(self.most, 0), self._size(row, step))
            with builder.when(larger):
                builder.store(self.best, 0, row)
                builder.store(self.most, 0, self._size(row, step))

    def _swap(self, step: Index) -> None:
        builder, best = self.builder, self.builder.load(self.best, 0)
        with builder.when(best != step):
            with builder.loop(self.rows - step, "column", step) as column:
                builder.store(self.factor, 0, self._at(step, column))
                self._put(step, column, self._at(best, column))
                self._put(best, column, builder.load(self.factor, 0))
            opposite = arithmetic.negative(builder.load(self.total, 0), builder.let)
            builder.store(self.total, 0, opposite)

    def _clear(self, step: Index) -> None:
        """Take the pivot's row from those below, so that its column is 0 there."""
        builder, left = self.builder, self.rows - 1 - step
        with builder.loop(left, "row", step + 1) as row:
            quotient = arithmetic.divide(self._at(row, step), self._at(step, step), builder.let)
            builder.store(self.factor, 0, quotient)
            with builder.loop(left, "column", step + 1) as column:
                factor = builder.load(self.factor, 0)
                taken = arithmetic.multiply(factor, self._at(step, column), builder.let)
                rest = arithmetic.subtract(self._at(row, column), taken, builder.let)
                self._put(row, column, rest)
