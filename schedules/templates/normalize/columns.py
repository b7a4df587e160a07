"""Softmax over an axis that is not the last one: vectors run along the last one.

Neighbouring columns are kept in scratch, one row of the axis after the other, so that what lies
far apart in memory is read and written once, by whole cache lines, and does not meet in the cache;
where they would not fit into the second-level cache, in the output, if it has their type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...emit.builder import Slot
from ...emit.evaluator import Evaluator, Point
from ...emit.tile import LINE
from ...ir.dtype import FLOAT32
from ...ir.size import Size
from ...ir.workload import Tensor
from ...tir import mathfn
from ...tir.indices import Expr, Index, ceildiv, tail
from ...tir.literals import constant
from ..form import Emitted
from ..planes import Planes
from ..rows import combine, identity
from ..slots import phase_builder
from .form import Normalize

_VECTORS = 4  # side by side
_KEPT = "kept"


def softmax_of_columns(form: Normalize, grain: int) -> Emitted:
    """One phase; chunks are groups of strips of columns."""
    return _Columns(form, grain).build()


class _Columns:
    def __init__(self, form: Normalize, grain: int) -> None:
        self.form, self.node, self.lanes = form, form.node, form.lanes
        self.outer, self.length, self.inner = form.sizes
        self.width = self._strip_width()
        self.planes = Planes(self.outer, self.length, self.inner, self.width, grain)
        converts = form.workload.output.element != FLOAT32
        self.keeps = converts or self._bytes(self.width) <= form.target.l2
        self.is_softmax = self.node.op == "softmax"

    def _bytes(self, width: int) -> int:
        return FLOAT32.nbytes(self.length * width)

    def _strip_width(self) -> int:
        """Some vectors if half of the first-level cache holds them, else a cache line."""
        if isinstance(self.inner, Size):
            return self.lanes
        some = _VECTORS * self.lanes
        wide = some if self._bytes(some) <= self.form.target.l1 // 2 else max(LINE, self.lanes)
        return min(wide, ceildiv(self.inner, self.lanes) * self.lanes)

    def build(self) -> Emitted:
        """The kernel."""
        size = self.length * self.width if self.keeps else 0
        own = [Slot(None, _KEPT, Tensor((size,)))] if self.keeps else []
        self.builder = builder = phase_builder(self.form, {}, own)
        anchor = len(self.form.workload.inputs) + self.form.where
        self.evaluator = Evaluator(self.form.workload, builder, anchor)
        with builder.chunk_loop() as chunk:
            for plane, begin, width in self.planes.strips(builder, chunk):
                first = builder.let(plane * (self.length * self.inner) + begin)
                self._strip(first, tail(0, width, self.lanes))
        return Emitted((builder.finish(self.planes.chunks),), scratch=FLOAT32.nbytes(size))

    def _strip(self, first: Index, parts: list[tuple[int, int]]) -> None:
        """Columns from a flat index on, in vectors."""
        builder, evaluator = self.builder, self.evaluator
        size = sum(width for _, width in parts)
        largest, total = builder.local(size), builder.local(size)
        for offset, width in parts:
            with builder.vector(width) as lane:
                builder.store(largest, offset + lane, identity("max_number", "float32"))
                builder.store(total, offset + lane, constant(0, "float32"))
        pick = combine("max_number")

        def read(step: Index, column: Index) -> None:
            point = Point(self.node.out.shape, flat=first + step * self.inner + column)
            x = builder.let(evaluator.element(self.node.args[0], point))
            self._keep(first, step, column, x)
            builder.store(largest, column, pick(builder.load(largest, column), x))

        def raise_(step: Index, column: Index) -> None:
            x = self._kept(first, step, column) - builder.load(largest, column)
            x = builder.let(x)
            e = builder.let(mathfn.exp_below(x, builder.let))
            self._keep(first, step, column, e if self.is_softmax else x)
            builder.store(total, column, builder.load(total, column) + e)

        def finish(step: Index, column: Index) -> None:
            value, scale = self._kept(first, step, column), builder.load(total, column)
            value = value * scale if self.is_softmax else value - scale
            point = Point(self.node.out.shape, flat=first + step * self.inner + column)
            evaluator.store(point, value)

        self._down(parts, read)
        self._down(parts, raise_)
        for offset, width in parts:
            with builder.vector(width) as lane:
                sums = builder.load(total, offset + lane)
                share = constant(1, "float32") / sums
                scale = share if self.is_softmax else mathfn.log(sums, builder.let)
                builder.store(total, offset + lane, scale)
        self._down(parts, finish)

    def _down(
        self,
        parts: list[tuple[int, int]],
        body: Callable[[Index, Index], None],
    ) -> None:
        """Down the axis, a row of vectors at a time."""
        with self.builder.loop(self.length, "step") as step:
            for offset, width in parts:
                with self.builder.vector(width) as lane:
                    body(step, offset + lane)

    def _place(self, first: Index, step: Index, column: Index) -> tuple[Any, Index]:
        if self.keeps:
            return self.builder[_KEPT], step * self.width + column
        return self.builder["out"], first + step * self.inner + column

    def _keep(self, first: Index, step: Index, column: Index, value: Expr) -> None:
        buffer, place = self._place(first, step, column)
        self.builder.store(buffer, place, value)

    def _kept(self, first: Index, step: Index, column: Index) -> Expr:
        buffer, place = self._place(first, step, column)
        return self.builder.load(buffer, place)
