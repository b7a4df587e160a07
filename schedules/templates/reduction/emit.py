"""Reductions over any axes: sum, mean, product, maximum, minimum.

Where the last axis is kept, its vectors are the accumulators and the reduced axes are loops. Where
it is reduced, each row is summed in four vectors side by side, which are added up at its end.

Knobs: ``grain``, input elements in a chunk.
"""

from __future__ import annotations

import math
from contextlib import ExitStack

from ...emit.evaluator import Evaluator, Point
from ...ir.dtype import DTYPES
from ...ir.size import Size, at_least, at_most
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, split_index, tail
from ...tir.literals import constant, reciprocal, storage
from ...tvm_late import tirx
from ..by_grain import Grain
from ..form import Emitted
from ..rows import combine, identity, reduce_row
from ..slots import phase_builder
from .form import Reduction


def kernel(form: Reduction, knobs: Grain) -> Emitted:
    """One phase."""
    return _Reduction(form, knobs).build()


class _Reduction:
    def __init__(self, form: Reduction, knobs: Grain) -> None:
        self.form, self.workload, self.node = form, form.workload, form.node
        self.grain, self.lanes = knobs.grain, form.lanes
        self.anchor = len(form.workload.inputs) + form.where
        self.source: Tensor = form.workload.tensor(self.node.args[0])
        self.axes: tuple[int, ...] = self.node.attr("axes")
        self.keepdims = bool(self.node.attr("keepdims"))
        self.dtype = self.node.out.dtype
        self.join = combine(self.node.op)
        self.start = identity(self.node.op, self.dtype)

    def build(self) -> Emitted:
        """The kernel."""
        self.builder = phase_builder(self.form, {})
        self.evaluator = Evaluator(self.workload, self.builder, self.anchor)
        last = len(self.source.shape) - 1
        chunks = self._rows() if last in self.axes or last < 0 else self._columns()
        return Emitted((self.builder.finish(chunks),))

    def _is_serial(self) -> bool:
        return self.evaluator.is_serial(self.node.args[0])

    def _kept(self) -> list[int]:
        return [d for d in range(len(self.source.shape)) if d not in self.axes]

    def _count(self, dims: list[int] | tuple[int, ...]) -> int:
        return math.prod(self.source.shape[d] for d in dims)

    def _reduced_loops(self, dims: list[int], coords: list[Index]) -> ExitStack:
        """Loops over the reduced dimensions, which set their coordinates."""
        stack = ExitStack()
        for d in dims:
            coords[d] = stack.enter_context(self.builder.loop(self.source.shape[d], f"r{d}"))
        return stack

    def _columns(self) -> int:
        """The last axis is kept: accumulators are vectors of it."""
        builder, shape = self.builder, self.source.shape
        outer = self._kept()[:-1]
        columns, per_column = shape[-1], self._count(self.axes)
        block = self._block(columns, per_column)
        blocks = ceildiv(columns, block)
        with builder.chunk_loop() as chunk:
            coords: list[Index] = [0] * len(shape)
            outer_shape = [shape[d] for d in outer]
            row = divide(chunk, blocks)
            for d, c in zip(outer, split_index(row, outer_shape), strict=True):
                coords[d] = builder.let(c)
            first = builder.let(modulo(chunk, blocks) * block)
            if isinstance(columns, Size):
                width = builder.let(tirx.min(block, columns - first))
                for begin, lanes in builder.pieces(width, 4 * self.lanes, "strip"):
                    self._column_block(coords, first + begin, lanes)
                return self._count(outer) * blocks
            full, rest = divmod(columns, block)
            if full and rest:
                with builder.when(first < full * block):
                    self._column_block(coords, first, block)
                with builder.when(first == full * block):
                    self._column_block(coords, full * block, rest)
            else:
                self._column_block(coords, first, block)
        return self._count(outer) * blocks

    def _block(self, columns: int, per_column: int) -> int:
        """Columns in a chunk: a number, even if what is wanted is known only at run time."""
        grain = self.form.grains[0] if isinstance(self.grain, Size) else self.grain
        per = 1 if isinstance(per_column, Size) else per_column
        wanted = max(self.lanes, _round(grain // per, 64))
        return wanted if isinstance(columns, Size) else min(columns, wanted)

    def _column_block(self, coords: list[Index], first: Index, width: int) -> None:
        """Strips of up to four vectors."""
        step = 4 * self.lanes
        if width >= step:
            with self.builder.loop(width // step, "strip") as i:
                self._strip(
                    list(coords), first + i * step, [(v * self.lanes, self.lanes) for v in range(4)]
                )
        rest = tail(width // step * step, width, self.lanes)
        for begin in range(0, len(rest), 4):
            base = rest[begin][0]
            parts = [(offset - base, lanes) for offset, lanes in rest[begin : begin + 4]]
            self._strip(list(coords), first + base, parts)

    def _strip(self, coords: list[Index], first: Index, parts: list[tuple[int, int]]) -> None:
        builder, shape = self.builder, self.source.shape
        sums = builder.local(sum(w for _, w in parts), storage(self.dtype))
        for offset, width in parts:
            with builder.vector(width) as lane:
                builder.store(sums, offset + lane, self.start)
        with self._reduced_loops(list(self.axes), coords):
            for offset, width in parts:
                with builder.vector(width, self._is_serial()) as lane:
                    point = Point(shape, (*coords[:-1], first + offset + lane))
                    value = self.evaluator.element(self.node.args[0], point)
                    old = builder.load(sums, offset + lane)
                    builder.store(sums, offset + lane, self.join(old, value))
        for offset, width in parts:
            with builder.vector(width, self.evaluator.is_serial()) as lane:
                kept = [c for d, c in enumerate(coords[:-1]) if d not in self.axes]
                self._store((*kept, first + offset + lane), builder.load(sums, offset + lane))

    def _rows(self) -> int:
        """The last axis is reduced: every output is one row's total."""
        builder, shape = self.builder, self.source.shape
        kept = self._kept()
        rows, per_row = self._count(kept), self._count(self.axes)
        group = at_least(at_most(self.grain // at_least(per_row, 1), rows), 1)
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * group)
            with builder.loop(extent(first, group, rows), "row", first) as row:
                coords: list[Index] = [0] * len(shape)
                for d, c in zip(kept, split_index(row, [shape[d] for d in kept]), strict=True):
                    coords[d] = builder.let(c)
                total = self._row_total(coords)
                self._store(tuple(coords[d] for d in kept), total)
        return ceildiv(rows, group)

    def _row_total(self, coords: list[Index]) -> Expr:
        shape = self.source.shape

        def value(column: Index) -> Expr:
            point = Point(shape, (*coords[:-1], column) if shape else ())
            return self.evaluator.element(self.node.args[0], point)

        others = [d for d in self.axes if d != len(shape) - 1]
        return reduce_row(
            self.builder,
            shape[-1] if shape else 1,
            self.lanes,
            self.node.op,
            self.dtype,
            value,
            lambda: self._reduced_loops(others, coords),
            self._is_serial(),
        )

    def _store(self, kept: tuple[Index, ...], total: Expr) -> None:
        out = self.node.out.shape
        remaining, at = iter(kept), kept
        if self.keepdims:
            at = tuple(0 if d in self.axes else next(remaining) for d in range(len(out)))
        if self.node.op == "mean":
            total = self._share(total)
        self.evaluator.store(Point(out, at), total)

    def _share(self, total: Expr) -> Expr:
        """The total divided by how many there were."""
        count = self._count(self.axes)
        if DTYPES[self.dtype].is_float:
            return total * reciprocal(count, self.dtype)
        return tirx.truncdiv(total, constant(count, self.dtype))


def _round(value: int, multiple: int) -> int:
    return max(multiple, value // multiple * multiple)
