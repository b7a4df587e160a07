"""Reductions over any axes: sum, mean, product, maximum, minimum.

Where the last axis is kept, its vectors are the accumulators and the reduced axes are loops. Where
it is reduced, each row is summed in four vectors side by side; of short rows as many as lanes are
finished together, and of rows shorter than a vector the lanes are rows. Where results are few, each
part of the first reduced axis gives partial ones, which a second phase joins in their order.

Knobs: ``grain``, input elements in a chunk.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

from ...emit.builder import Slot
from ...emit.evaluator import Evaluator, Point
from ...ir.dtype import DTYPES
from ...ir.kernel import Phase
from ...ir.size import Size, at_least, at_most
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, split_index, tail
from ...tir.literals import constant, reciprocal, storage
from ...tir.point import flatten
from ...tvm_late import tirx
from ..by_grain import Grain
from ..form import Emitted
from ..rows import combine, identity, reduce_row, reduce_rows
from ..slots import phase_builder
from .form import COLUMNS, Reduction

_LONG = 64  # vectors in a row, which do not feel what its end takes
_PARTIAL = "partial"


def kernel(form: Reduction, knobs: Grain) -> Emitted:
    """One phase, or two with partial results as a temporary."""
    return _Reduction(form, knobs).build()


class _Reduction:
    def __init__(self, form: Reduction, knobs: Grain) -> None:
        self.form, self.workload = form, form.merged
        self.node = self.workload.nodes[form.where]
        self.grain, self.lanes = knobs.grain, form.lanes
        self.anchor = len(form.workload.inputs) + form.where
        self.source: Tensor = self.workload.tensor(self.node.args[0])
        self.axes: tuple[int, ...] = self.node.attr("axes")
        self.kept = [d for d in range(len(self.source.shape)) if d not in self.axes]
        self.keepdims = bool(self.node.attr("keepdims"))
        self.dtype = self.node.out.dtype
        self.join = combine(self.node.op)
        self.start = identity(self.node.op, self.dtype)
        self.along = self.source.shape[self.axes[0]] if self.axes else 1
        self.parts = form.parts

    def build(self) -> Emitted:
        """The kernel."""
        if self.parts == 1:
            return Emitted((self._reduce(()),))
        results = self._count(self.kept)
        partial = Tensor((self.parts, results), self.dtype)
        shared = (Slot(len(self.workload.inputs), _PARTIAL, partial),)
        phases = (self._reduce(shared), self._join(shared))
        return Emitted(phases, temps=(partial.nbytes,))

    def _begin(self, shared: tuple[Slot, ...]) -> None:
        self.builder = phase_builder(self.form, {}, shared, temps=len(shared))
        self.evaluator = Evaluator(self.workload, self.builder, self.anchor)

    def _reduce(self, shared: tuple[Slot, ...]) -> Phase:
        """Chunks are (part, some of the results)."""
        self._begin(shared)
        last = len(self.source.shape) - 1
        by_rows = last in self.axes or last < 0
        chunks = self._row_chunks() if by_rows else self._column_chunks()
        with self.builder.chunk_loop() as chunk:
            self.first: Index = 0  # along the first reduced axis
            self.steps: Index = self.along
            if self.parts == 1:
                self._rows(chunk) if by_rows else self._columns(chunk)
            else:
                self.part = self.builder.let(divide(chunk, chunks))
                some = self.builder.let(modulo(chunk, chunks))
                for _, steps in self.builder.block(self.part, self.form.part, self.along):
                    self.first, self.steps = self.part * self.form.part, steps
                    self._rows(some) if by_rows else self._columns(some)
        return self.builder.finish(self.parts * chunks)

    def _join(self, shared: tuple[Slot, ...]) -> Phase:
        """The partial results, one after the other."""
        self._begin(shared)
        builder, results = self.builder, self._count(self.kept)
        block = max(self.lanes, _round(self.form.grains[0] // self.parts, COLUMNS))
        with builder.chunk_loop() as chunk:
            for _, count in builder.block(chunk, block, results):
                begin = chunk * block
                for offset in builder.strips(count, self.lanes):
                    flat = begin + offset
                    self._finish(Point(self.node.out.shape, flat=flat), self._joined(flat, results))
        return builder.finish(ceildiv(results, block))

    def _joined(self, flat: Index, results: int) -> Expr:
        """What all parts have of one result."""
        total, partial = None, self.builder[_PARTIAL]
        for part in range(self.parts):
            value = self.builder.load(partial, part * results + flat)
            total = value if total is None else self.builder.keep(self.join(total, value))
        return total

    def _count(self, dims: list[int] | tuple[int, ...]) -> int:
        return math.prod(self.source.shape[d] for d in dims)

    def _reduced_loops(self, dims: list[int], coords: list[Index]) -> ExitStack:
        """Loops over the reduced dimensions, which set their coordinates."""
        stack, builder = ExitStack(), self.builder
        for d in dims:
            of_part = d == self.axes[0]
            steps = self.steps if of_part else self.source.shape[d]
            step = stack.enter_context(builder.loop(steps, f"r{d}"))
            coords[d] = self.first + step if of_part and self.parts > 1 else step
        return stack

    # The last axis is kept: accumulators are vectors of it.

    def _column_chunks(self) -> int:
        return self._count(self.kept[:-1]) * ceildiv(self.source.shape[-1], self._block())

    def _columns(self, chunk: Index) -> None:
        builder, shape = self.builder, self.source.shape
        outer, columns, block = self.kept[:-1], self.source.shape[-1], self._block()
        blocks = ceildiv(columns, block)
        coords: list[Index] = [0] * len(shape)
        row = divide(chunk, blocks)
        for d, c in zip(outer, split_index(row, [shape[d] for d in outer]), strict=True):
            coords[d] = builder.let(c)
        first = builder.let(modulo(chunk, blocks) * block)
        if isinstance(columns, Size):
            width = builder.let(tirx.min(block, columns - first))
            for begin, lanes in builder.pieces(width, 4 * self.lanes, "strip"):
                self._column_block(coords, first + begin, lanes)
            return
        full, rest = divmod(columns, block)
        if full and rest:
            with builder.when(first < full * block):
                self._column_block(coords, first, block)
            with builder.when(first == full * block):
                self._column_block(coords, full * block, rest)
        else:
            self._column_block(coords, first, block)

    def _block(self) -> int:
        """Columns in a chunk: a number, even if what is wanted is known only at run time."""
        columns, per_column = self.source.shape[-1], self._count(self.axes)
        grain = self.form.grains[0] if isinstance(self.grain, Size) else self.grain
        per = 1 if isinstance(per_column, Size) else ceildiv(per_column, self.parts)
        wanted = max(self.lanes, _round(grain // per, COLUMNS))
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
                with builder.vector(width) as lane:
                    point = Point(shape, (*coords[:-1], first + offset + lane))
                    value = self.evaluator.element(self.node.args[0], point)
                    old = builder.load(sums, offset + lane)
                    builder.store(sums, offset + lane, self.join(old, value))
        kept = [coords[d] for d in self.kept[:-1]]
        for offset, width in parts:
            with builder.vector(width) as lane:
                self._store((*kept, first + offset + lane), builder.load(sums, offset + lane))

    # The last axis is reduced: every output is one row's total.

    @property
    def _is_by_lanes(self) -> bool:
        """Whether as many rows as lanes are reduced together."""
        count, length = self._count(self.kept), (self.source.shape or (1,))[-1]
        if isinstance(count, Size) or isinstance(length, Size) or count < self.lanes:
            return False
        one = len(self.kept) == 1  # to name many rows takes no divisions
        return length < _LONG * self.lanes if length >= self.lanes else one

    def _group(self) -> int:
        """Rows in a chunk: a multiple of what is reduced together, or all."""
        rows = self._count(self.kept)
        group = at_least(at_most(self.grain // at_least(self._count(self.axes), 1), rows), 1)
        return _round(group, self.lanes) if self._is_by_lanes and group < rows else group

    def _row_chunks(self) -> int:
        return ceildiv(self._count(self.kept), self._group())

    def _rows(self, chunk: Index) -> None:
        builder, rows, group = self.builder, self._count(self.kept), self._group()
        first = builder.let(chunk * group)
        count = extent(first, group, rows)
        if self._is_by_lanes:
            with builder.loop(divide(count + (self.lanes - 1), self.lanes), "rows") as block:
                begin = tirx.min(first + block * self.lanes, rows - self.lanes)
                self._rows_together(builder.let(begin))  # the last ones may be done twice
            return
        with builder.loop(count, "row", first) as row:
            coords = self._coords(row)
            self._store(tuple(coords[d] for d in self.kept), self._row_total(coords))

    def _coords(self, row: Index) -> list[Index]:
        """Of a row's first element."""
        coords: list[Index] = [0] * len(self.source.shape)
        outer = [self.source.shape[d] for d in self.kept]
        for d, c in zip(self.kept, split_index(row, outer), strict=True):
            coords[d] = self.builder.let(c)
        return coords

    def _rows_together(self, first: Index) -> None:
        """As many rows as lanes."""
        builder, one = self.builder, len(self.kept) == 1
        short = self.source.shape[-1] < self.lanes
        totals = self._short_totals(first) if short else self._totals(first)
        if one:
            with builder.vector(self.lanes) as lane:
                self._store((first + lane,), builder.load(totals, lane))
            return
        with builder.loop(self.lanes, "row") as row:
            coords = self._coords(first + row)
            self._store(tuple(coords[d] for d in self.kept), builder.load(totals, row))

    def _totals(self, first: Index) -> Any:
        others = [d for d in self.axes if d != len(self.source.shape) - 1]
        coords = self._coords(0)

        def begin(row: Index) -> Any:
            own = self._coords(first + row)
            for d in self.kept:
                coords[d] = own[d]
            return lambda column: self._element(coords, column)

        return reduce_rows(
            self.builder,
            self._length(),
            self.lanes,
            self.node.op,
            self.dtype,
            begin,
            lambda: self._reduced_loops(others, coords),
        )

    def _short_totals(self, first: Index) -> Any:
        """Of rows that are lanes, whose elements lie apart."""
        builder = self.builder
        totals = builder.local(self.lanes, storage(self.dtype))
        with builder.vector(self.lanes) as lane:
            builder.store(totals, lane, self.start)
        coords: list[Index] = [0] * len(self.source.shape)
        others = [d for d in self.axes if d != len(self.source.shape) - 1]
        with self._reduced_loops(others, coords):
            for column in range(self._length()):
                with builder.vector(self.lanes) as lane:
                    coords[self.kept[0]] = first + lane
                    value = self._element(coords, column)
                    old = builder.load(totals, lane)
                    builder.store(totals, lane, self.join(old, value))
        return totals

    def _row_total(self, coords: list[Index]) -> Expr:
        others = [d for d in self.axes if d != len(self.source.shape) - 1]
        return reduce_row(
            self.builder,
            self._length(),
            self.lanes,
            self.node.op,
            self.dtype,
            lambda column: self._element(coords, column),
            lambda: self._reduced_loops(others, coords),
        )

    def _length(self) -> int:
        """Of a row, or of its part."""
        if not self.source.shape:
            return 1
        cut = self.axes[0] == len(self.source.shape) - 1
        return self.steps if cut else self.source.shape[-1]

    def _element(self, coords: list[Index], column: Index) -> Expr:
        """What is reduced, at a column of a row, or of its part."""
        shape = self.source.shape
        if shape and self.parts > 1 and self.axes[0] == len(shape) - 1:
            column = self.first + column
        point = Point(shape, (*coords[:-1], column) if shape else ())
        return self.evaluator.element(self.node.args[0], point)

    # Results.

    def _store(self, kept: tuple[Index, ...], total: Expr) -> None:
        """Of the part, or with what follows."""
        out = self.node.out.shape
        remaining, at = iter(kept), kept
        if self.keepdims:
            at = tuple(0 if d in self.axes else next(remaining) for d in range(len(out)))
        if self.parts > 1:
            place = self.part * self._count(self.kept) + flatten(at, out)
            self.builder.store(self.builder[_PARTIAL], place, total)
            return
        self._finish(Point(out, at), total)

    def _finish(self, point: Point, total: Expr) -> None:
        if self.node.op == "mean":
            total = self._share(total)
        self.evaluator.store(point, total)

    def _share(self, total: Expr) -> Expr:
        """The total divided by how many there were."""
        count = self._count(self.axes)
        if DTYPES[self.dtype].is_float:
            return total * reciprocal(count, self.dtype)
        return tirx.truncdiv(total, constant(count, self.dtype))


def _round(value: int, multiple: int) -> int:
    return max(multiple, value // multiple * multiple)
