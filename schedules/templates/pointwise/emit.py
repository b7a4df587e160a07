"""Elementwise operators and data movement: every output element from few input elements.

A concatenation becomes one loop nest for each of its pieces, whose chunks are independent.
Memory-bound, so what matters is that rows are read and written in vectors and that a chunk is large
enough to be worth handing out.

Knobs: ``grain``, elements of output in a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from ... import ops
from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...ir.dtype import FLOAT32
from ...ir.kernel import Kernel
from ...ir.space import Knob, Schedule, Space
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import Index, ceildiv, divide, modulo, split_index
from ...tvm_late import tirx
from ..template import (
    Template,
    collapse,
    finish_element,
    input_slots,
    loads,
    output_slot,
)
from .segments import Segment, columns, segments

NAME = "pointwise"
VERSION = 1
GRAINS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)


def space(workload: Workload, target: Target) -> Space | None:
    """Fits workloads without an anchor."""
    if any(not ops.of(node).is_fusible for node in workload.nodes):
        return None
    # Half a dozen chunks a thread even out a busy core; less than 4096 elements are not worth it.
    wanted = workload.output.size // (6 * target.threads)
    default = max((g for g in GRAINS if g <= max(wanted, 4096)), default=GRAINS[0])
    grain = Knob("grain", GRAINS, "output elements in a chunk")
    return Space(NAME, VERSION, (grain,), {"grain": default})


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase; the chunks of one segment come after those of another."""
    none = (None,) * len(workload.inputs)
    builder = PhaseBuilder([*input_slots(workload, none), output_slot(workload)])
    parts = [_Part(s, target, int(schedule["grain"])) for s in segments(workload)]
    first = 0
    with builder.chunk_loop() as chunk:
        for part in parts:
            last = first + part.chunks
            mine = tirx.all(chunk >= first, chunk < last)
            with nullcontext() if len(parts) == 1 else builder.when(mine):
                part.emit(builder, chunk - first)
            first = last
    return Kernel(workload, schedule, (builder.finish(first),), none)


class _Part:
    """The loop nest of one segment; chunks are (group of rows, block of columns)."""

    def __init__(self, segment: Segment, target: Target, grain: int) -> None:
        self.workload = collapse(segment.workload) if segment.is_all else segment.workload
        self.target = target
        inner = (self.workload.output.shape or (1,))[-1]
        self.rows = self.workload.output.size // inner
        self.block = min(inner, max(grain, target.lanes(FLOAT32)))
        self.group = max(1, grain // inner)
        self.blocks = ceildiv(inner, self.block)
        self.place = _placement(segment, inner)
        self.chunks = ceildiv(self.rows, self.group) * self.blocks

    def emit(self, builder: PhaseBuilder, chunk: Index) -> None:
        """What one chunk does."""
        evaluator = Evaluator(self.workload, builder, loads(builder, self.workload))
        first = builder.bind(divide(chunk, self.blocks) * self.group)
        whole = self.rows % self.group == 0
        count = self.group if whole else tirx.min(self.group, self.rows - first)
        with builder.loop(count, "row", first) as each:
            row = builder.bind(each)
            with builder.outer():
                for begin, width in self._columns(builder, modulo(chunk, self.blocks)):
                    for j in builder.strips(width, self.target.lanes(FLOAT32)):
                        column = begin + j
                        evaluator.forget()
                        point = _point(self.workload.output.shape, row, column)
                        value = finish_element(evaluator, point)
                        builder.store(builder["out"], self.place(row, column), value)

    def _columns(self, builder: PhaseBuilder, column: Index) -> Iterator[tuple[Index, int]]:
        """(begin, width) of the chunk's columns: a block of a long row, or parts of a short one."""
        shape = self.workload.output.shape
        full, rest = divmod((shape or (1,))[-1], self.block)
        if full == 1 and not rest:
            yield from columns(self.workload, self.target.lanes(FLOAT32)) if shape else [(0, 1)]
        elif not rest:
            yield column * self.block, self.block
        else:
            with builder.when(column < full):
                yield column * self.block, self.block
            with builder.when(column == full):
                yield full * self.block, rest


def _placement(segment: Segment, inner: int) -> Callable[[Index, Index], Index]:
    """Maps (row, column) of the segment to the output's flat index."""
    axis, whole, part = segment.axis, segment.whole, segment.workload.output.shape
    if segment.is_all:
        pitch = segment.pitch or inner
        return lambda row, column: row * pitch + column
    pitch = segment.pitch or whole[-1]
    if axis == len(whole) - 1:
        return lambda row, column: row * pitch + segment.offset + column
    after = math.prod(whole[axis + 1 : -1])  # rows for each step along the axis
    per, gap, first = part[axis] * after, whole[axis] * after, segment.offset * after

    def place(row: Index, column: Index) -> Index:
        return (divide(row, per) * gap + first + modulo(row, per)) * pitch + column

    return place


def _point(shape: tuple[int, ...], row: Index, column: Index) -> Point:
    if len(shape) < 2:
        return Point(shape, flat=row * (shape or (1,))[-1] + column)
    coords = (*split_index(row, shape[:-1]), column)
    return Point(shape, coords, row * shape[-1] + column)


TEMPLATE = Template(NAME, space, kernel)
