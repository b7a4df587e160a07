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

from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...emit.tables import LANES, table_of
from ...ir.placement import DENSE
from ...ir.size import Size, at_least, at_most
from ...tir.indices import Index, ceildiv, divide, extent, modulo, split_index
from ...tvm_late import tirx
from ..by_grain import Grain
from ..collapse import collapse
from ..form import Emitted
from ..slots import phase_builder
from .form import Pointwise
from .segments import Segment, columns, segments


def kernel(form: Pointwise, knobs: Grain) -> Emitted:
    """One phase; the chunks of one segment come after those of another."""
    builder = phase_builder(form, {})
    workload = collapse(form.workload, keep_last=form.placement != DENSE)
    parts = [_Part(s, form, knobs.grain) for s in segments(workload)]
    first = 0
    size = workload.output.size
    if _side_by_side(parts, knobs.grain):
        return _by_rows(builder, parts, knobs.grain, form)
    if isinstance(size, int) and size <= knobs.grain:  # not worth handing out
        with builder.chunk_loop():
            for part in parts:
                with builder.loop(part.chunks, "chunk") as chunk:
                    part.emit(builder, chunk)
        return Emitted((builder.finish(1),))
    with builder.chunk_loop() as chunk:
        for part in parts:
            last = first + part.chunks
            mine = tirx.all(chunk >= first, chunk < last)
            with nullcontext() if len(parts) == 1 else builder.when(mine):
                part.emit(builder, chunk - first)
            first = last
    return Emitted((builder.finish(first),))


def _by_rows(builder: PhaseBuilder, parts: list[_Part], grain: int, form: Pointwise) -> Emitted:
    """Chunks of whole rows. All segments of some rows come before those of the next ones: they
    share lines, which a quarter of L1 holds until then."""
    width, output = sum(part.inner for part in parts), form.workload.output.element
    rows = min(grain // width, at_least(form.target.l1 // (4 * output.bytes * width), 1))
    for part in parts:
        part.group = rows
    blocks, count = parts[0].chunks, at_least(grain // (rows * width), 1)
    with builder.chunk_loop() as chunk:
        first = builder.let(chunk * count)
        with builder.loop(extent(first, count, blocks), "block", first) as block:
            for part in parts:
                part.emit(builder, block)
    return Emitted((builder.finish(ceildiv(blocks, count)),))


def _side_by_side(parts: list[_Part], grain: int) -> bool:
    """Whether a chunk has whole rows of the output: where segments end within a line, two threads
    that have one each would both write it."""
    sizes = [grain, *(size for part in parts for size in (part.rows, part.inner))]
    if len(parts) == 1 or not all(isinstance(size, int) for size in sizes):
        return False
    return len({part.rows for part in parts}) == 1 and sum(part.inner for part in parts) <= grain


class _Part:
    """The loop nest of one segment; chunks are (group of rows, block of columns)."""

    def __init__(self, segment: Segment, form: Pointwise, grain: int) -> None:
        self.target = form.target
        segment = segment.collapsed(keep_last=form.placement != DENSE)
        self.workload = segment.workload
        found = table_of(self.workload, form.target)
        self.lanes = LANES if found else form.lanes
        self.inner = inner = (self.workload.output.shape or (1,))[-1]
        self.rows = math.prod(self.workload.output.shape[:-1])
        wide = form.grains[0] if isinstance(grain, Size) else grain
        self.block = at_least(at_most(inner, max(wide, self.lanes)), 1)
        self.group = at_least(grain // at_least(inner, 1), 1)
        self.blocks = ceildiv(inner, self.block)
        self.place = _placement(segment, inner, form.placement.output)

    @property
    def chunks(self) -> int:
        """Of this segment alone."""
        return ceildiv(self.rows, self.group) * self.blocks

    def emit(self, builder: PhaseBuilder, chunk: Index) -> None:
        """What one chunk does."""
        evaluator = Evaluator(self.workload, builder, tables=self.target)
        first = builder.let(divide(chunk, self.blocks) * self.group)
        with builder.loop(extent(first, self.group, self.rows), "row", first) as each:
            row = builder.let(each)
            with builder.invariant_scope():
                for begin, width in self._columns(builder, modulo(chunk, self.blocks)):
                    for j in builder.strips(width, self.lanes):
                        column = begin + j
                        point = _point(self.workload.output.shape, row, column)
                        evaluator.store(point, place=self.place(row, column))

    def _columns(self, builder: PhaseBuilder, column: Index) -> Iterator[tuple[Index, int]]:
        """(begin, width) of the chunk's columns: a block of a long row, or parts of a short one."""
        shape = self.workload.output.shape
        inner = (shape or (1,))[-1]
        if isinstance(inner, Size):
            begin = builder.let(column * self.block)
            yield begin, builder.let(tirx.min(self.block, inner - begin))
            return
        full, rest = divmod(inner, self.block)
        if full == 1 and not rest:
            yield from columns(self.workload) if shape else [(0, 1)]
        elif not rest:
            yield column * self.block, self.block
        else:
            with builder.when(column < full):
                yield column * self.block, self.block
            with builder.when(column == full):
                yield full * self.block, rest


def _placement(segment: Segment, inner: int, pitch: int | None) -> Callable[[Index, Index], Index]:
    """Maps (row, column) of the segment to the output's flat index."""
    axis, whole, part = segment.axis, segment.whole, segment.workload.output.shape
    if segment.is_all:
        apart = pitch or inner
        return lambda row, column: row * apart + column
    apart = pitch or whole[-1]
    if axis == len(whole) - 1:
        return lambda row, column: row * apart + segment.offset + column
    after = math.prod(whole[axis + 1 : -1])  # rows for each step along the axis
    per, gap, first = part[axis] * after, whole[axis] * after, segment.offset * after

    def place(row: Index, column: Index) -> Index:
        return (divide(row, per) * gap + first + modulo(row, per)) * apart + column

    return place


def _point(shape: tuple[int, ...], row: Index, column: Index) -> Point:
    if len(shape) < 2:
        return Point(shape, flat=row * (shape or (1,))[-1] + column)
    coords = (*split_index(row, shape[:-1]), column)
    return Point(shape, coords, row * shape[-1] + column)
