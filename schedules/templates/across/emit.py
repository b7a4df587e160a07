"""Rows whose elements are gathered by the same columns: resizes along the last axis, and the like.

Lanes along a row would each read a place of their own. So lanes are rows: of as many rows as a
vector has lanes, what is gathered is transposed into the worker's scratch, where a column of them
is a vector. Each column of the result is then made of whole vectors, whose places are known once
for all rows, and squares of the result are transposed back in registers. What is elementwise before
and after is computed along the rows.

Knobs: ``grain`` (output elements in a chunk).
"""

from __future__ import annotations

import math
from typing import Any

from ...emit.builder import Slot
from ...emit.evaluator import Evaluator, Point
from ...emit.lanes import fitting, side, transposed
from ...emit.tile import vector_index
from ...ir.kernel import ALIGNMENT
from ...ir.placement import DENSE
from ...ir.size import at_least
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, extent, split_index
from ...tir.literals import storage
from ...tvm_late import tirx
from ..by_grain import Grain
from ..collapse import collapse
from ..form import Emitted
from ..slots import phase_builder
from .form import Across, gathered


def kernel(form: Across, knobs: Grain) -> Emitted:
    """One phase; chunks are groups of blocks of rows."""
    return _Across(form, knobs).build()


class _Across:
    def __init__(self, form: Across, knobs: Grain) -> None:
        self.form, self.grain = form, knobs.grain
        self.workload = collapse(form.workload, keep_last=form.placement != DENSE)
        found = gathered(self.workload)
        assert found is not None
        self.core, self.data = found
        self.shape = self.workload.output.shape
        self.side = side(self.workload.tensor(self.core).element.bytes, form.target)
        self.slots = self._slots()

    def _slots(self) -> dict[int, Slot]:
        """Scratch for what is gathered, by columns."""
        slots, offset = dict[int, Slot](), 0
        for value in self.data:
            tensor = self.workload.tensor(value)
            held = Tensor((tensor.shape[-1] * self.side,), storage(tensor.dtype))
            slots[value] = Slot(None, f"columns{value}", held, offset)
            offset += ceildiv(held.nbytes, ALIGNMENT) * ALIGNMENT
        return slots

    def build(self) -> Emitted:
        """The kernel."""
        self.builder = builder = phase_builder(self.form, {}, [*self.slots.values()])
        self.along = Evaluator(self.workload, builder, anchor=self.core)
        self.across = Evaluator(self.workload, builder)
        self.lane: Index = 0
        for value in self.data:
            self.across.bind(value, self._column(value))
        *outer, width = self.shape
        rows = math.prod(outer)
        blocks = ceildiv(rows, self.side)
        group = at_least(self.grain // at_least(self.side * width, 1), 1)
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * group)
            with builder.loop(extent(first, group, blocks), "block", first) as block:
                begin = self._begin(block, self.side, rows)
                self.rows = [
                    tuple(builder.let(c) for c in split_index(begin + i, outer))
                    for i in range(self.side)
                ]
                for value in self.data:
                    self._fill(value)
                self._results()
        used = [slot.offset + slot.tensor.nbytes for slot in self.slots.values()]
        return Emitted((builder.finish(ceildiv(blocks, group)),), scratch=used[-1])

    def _begin(self, index: Index, size: int, total: int) -> Index:
        """Where a block begins; the last one reaches back."""
        if isinstance(total, int) and total % size == 0:
            return self.builder.let(index * size)
        return self.builder.let(tirx.min(index * size, total - size))

    def _column(self, value: int) -> Any:
        """The source of what is gathered: one lane of a column."""
        buffer = self.builder[self.slots[value].name]
        return lambda point: self.builder.load(
            buffer, point.coordinates[-1] * self.side + self.lane
        )

    def _fill(self, value: int) -> None:
        """The block's rows of what is gathered, transposed."""
        builder, tensor = self.builder, self.workload.tensor(value)
        width, buffer = tensor.shape[-1], builder[self.slots[value].name]
        lanes = fitting(self.side, width)
        with (
            builder.invariant_scope(),
            builder.loop(ceildiv(width, lanes), "square") as square,
        ):
            begin = self._begin(square, lanes, width)
            local = builder.local(self.side * lanes, storage(tensor.dtype))
            for i, row in enumerate(self.rows):
                with builder.vector(lanes) as lane:
                    point = Point(tensor.shape, (*row, begin + lane))
                    builder.store(local, i * lanes + lane, self.along.element(value, point))
            for i, column in enumerate(self._turned(local, self.side, lanes)):
                builder.store(buffer, vector_index((begin + i) * self.side, self.side), column)

    def _results(self) -> None:
        """The block's rows of the output, in squares."""
        builder, width = self.builder, self.shape[-1]
        core = storage(self.workload.tensor(self.core).dtype)
        columns = fitting(self.side, width)
        with builder.loop(ceildiv(width, columns), "square") as square:
            begin = self._begin(square, columns, width)
            local = builder.local(self.side * columns, core)
            nowhere = (0,) * (len(self.shape) - 1)  # all rows are alike to it
            for i in range(columns):
                point = Point(self.shape, (*nowhere, builder.let(begin + i)))
                with builder.invariant_scope(), builder.vector(self.side) as self.lane:
                    element = self.across.element(self.core, point)
                    builder.store(local, i * self.side + self.lane, element)
            turned = builder.local(self.side * columns, core)
            for i, row in enumerate(self._turned(local, columns, self.side)):
                builder.store(turned, vector_index(i * columns, columns), row)
            for i, place in enumerate(self.rows):
                with builder.vector(columns) as lane:
                    point = Point(self.shape, (*place, begin + lane))
                    self.along.store(point, builder.load(turned, i * columns + lane))

    def _turned(self, local: Any, count: int, width: int) -> list[Expr]:
        """``count`` vectors of ``width`` lanes, as ``width`` vectors of ``count`` lanes."""
        builder = self.builder
        vectors = [
            builder.let(builder.load(local, vector_index(i * width, width))) for i in range(count)
        ]
        if count == 1:
            return [builder.load(local, i) for i in range(width)]
        if width == 1:
            return [builder.load(local, vector_index(0, count))]
        return transposed(builder, vectors, width)
