"""Transposition with what is elementwise around it, where the last axis moves.

Read along the output the source would be gathered one element at a time. So vectors are read along
the axis that is contiguous in the source, a *block* of them is turned in registers, and vectors are
stored along the last axis of the output. What is elementwise before the transposition is computed
on the vectors that are read, what comes after it on those that are stored.

Where an axis is too short for a block, and its neighbour is the other one, the block has all of it:
images become planes, and planes images, without a vector that is half empty. Else the last block of
an axis reaches back into the one before.

Knobs: ``block`` (elements along the output's last axis that are written at once, a vector at
least), ``lanes`` and ``columns`` (elements of a tile along the source's and the output's last axis;
its blocks follow one another along the source's rows), ``grain`` (output elements in a chunk).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...emit.evaluator import Evaluator, Point
from ...emit.lanes import deinterleaved, fitting, interleaved, side, transposed
from ...emit.tile import vector_index
from ...ir.dtype import DTYPES
from ...ir.placement import DENSE
from ...ir.size import at_least
from ...target.target import Target
from ...tir.indices import Expr, Index, ceildiv, extent, split_index
from ...tir.literals import storage
from ...tvm_late import tirx
from ..collapse import collapse
from ..form import Emitted
from ..slots import phase_builder
from .form import Knobs, Transpose

_LEAST = 1024  # elements, for which it pays to compute where a tile begins
_SHORT = (2, 3, 4, 5, 7)  # axes of which a block has all


def kernel(form: Transpose, knobs: Knobs) -> Emitted:
    """One phase; chunks are groups of tiles."""
    return _Transpose(form, knobs).build()


@dataclass(frozen=True)
class _Block:
    """``rows`` vectors of ``lanes`` elements each: how far a block reaches along the output's and
    the source's last axis. Vectors follow one another in memory where they are *joined*."""

    rows: int
    lanes: int
    is_read_joined: bool = False
    is_written_joined: bool = False


class _Transpose:
    def __init__(self, form: Transpose, knobs: Knobs) -> None:
        self.form, self.knobs = form, knobs
        self.workload = collapse(form.workload) if form.placement == DENSE else form.workload
        where = next(i for i, n in enumerate(self.workload.nodes) if n.op == "transpose")
        self.node, self.result = self.workload.nodes[where], len(self.workload.inputs) + where
        self.source = self.node.args[0]
        self.shape, self.axes = self.workload.output.shape, self.node.attr("axes")
        self.inside = self.workload.tensor(self.source).shape
        self.last = len(self.shape) - 1
        self.moved = self.axes.index(self.last)
        self.others = [d for d in range(self.last) if d != self.moved]
        self.dtype = storage(self.node.out.dtype)
        self.block = self._block(form.target)

    def _block(self, target: Target) -> _Block:
        size = DTYPES[self.dtype].bytes
        most = self.side = side(size, target)
        rows, lanes = self.shape[-1], self.shape[self.moved]
        is_known = isinstance(rows, int) and isinstance(lanes, int)
        if is_known and self.form.placement == DENSE:
            if rows in _SHORT and rows < most <= lanes and self.moved == self.last - 1:
                return _Block(rows, most, is_written_joined=True)
            if lanes in _SHORT and lanes < most <= rows and self.axes[-1] == self.last - 1:
                return _Block(most, lanes, is_read_joined=True)
        return _Block(fitting(max(most, self.knobs.block), rows), fitting(most, lanes))

    def build(self) -> Emitted:
        """The kernel."""
        block, knobs = self.block, self.knobs
        self.builder = builder = phase_builder(self.form, {})
        self.evaluator = Evaluator(self.workload, builder, anchor=self.result)
        blocks = ceildiv(self.shape[-1], block.rows), ceildiv(self.shape[self.moved], block.lanes)
        wanted = knobs.columns // block.rows, knobs.lanes // block.lanes
        tile = [_limited(max(1, w), n) for w, n in zip(wanted, blocks, strict=True)]
        size = math.prod(tile) * block.rows * block.lanes
        extents = [self.shape[d] for d in self.others]
        near = extents[-1] if extents else 1
        times = _limited(max(1, _LEAST // size), near)  # tiles side by side, where they are small
        extents[-1:] = [ceildiv(near, times)]
        extents += [ceildiv(n, t) for n, t in zip(blocks, tile, strict=True)]
        tiles = math.prod(extents)
        group = at_least(knobs.grain // (times * size), 1)
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * group)
            with builder.loop(extent(first, group, tiles), "tile", first) as each:
                *outer, begin, down, along = map(builder.let, split_index(each, extents))
                coords: list[Index] = [0] * len(self.shape)
                for d, c in zip(self.others, outer, strict=False):
                    coords[d] = c
                starts = [
                    builder.let(i * t)
                    for i, t in ((begin, times), (down, tile[0]), (along, tile[1]))
                ]
                limits = zip(starts, (times, *tile), (near, *blocks), strict=True)
                counts = [extent(*limit) for limit in limits]
                with (
                    builder.loop(counts[0], "other", starts[0]) as other,
                    builder.loop(counts[1], "block", starts[1]) as row,
                    builder.loop(counts[2], "block", starts[2]) as lane,
                ):
                    if self.others:
                        coords[self.others[-1]] = other
                    coords[self.last] = self._begin(row, block.rows, self.shape[-1])
                    coords[self.moved] = self._begin(lane, block.lanes, self.shape[self.moved])
                    self._turn(coords)
        return Emitted((builder.finish(ceildiv(tiles, group)),))

    def _begin(self, index: Index, size: int, total: int) -> Index:
        """Where a block begins; the last one reaches back."""
        if isinstance(total, int) and total % size == 0:
            return self.builder.let(index * size)
        return self.builder.let(tirx.min(index * size, total - size))

    def _turn(self, first: list[Index]) -> None:
        """One block; ``first`` is its first element in the output."""
        block, builder = self.block, self.builder
        rows, lanes = block.rows, block.lanes
        read = self._read(first)
        if block.is_read_joined:
            turned = deinterleaved(builder, self._vectors(read, lanes, rows), rows)
        elif block.is_written_joined:
            turned = interleaved(builder, self._vectors(read, rows, lanes), lanes)
        elif rows == 1 or lanes == 1:
            return self._write(first, read)
        else:
            return self._write(first, self._squares(read))
        local = builder.local(rows * lanes, self.dtype)
        width = rows * lanes // len(turned)
        for i, vector in enumerate(turned):
            builder.store(local, vector_index(i * width, width), vector)
        return self._write(first, local)

    def _squares(self, read: Any) -> Any:
        """A block of several squares, one after another along the output's rows."""
        block, builder = self.block, self.builder
        vectors = self._vectors(read, block.rows, block.lanes)
        local = builder.local(block.rows * block.lanes, self.dtype)
        count = min(block.rows, self.side)
        for begin in range(0, block.rows, count):
            turned = transposed(builder, vectors[begin : begin + count], block.lanes)
            for i, vector in enumerate(turned):
                place = vector_index(i * block.rows + begin, count)
                builder.store(local, place, vector)
        return local

    def _vectors(self, local: Any, count: int, width: int) -> list[Expr]:
        builder = self.builder
        return [
            builder.let(builder.load(local, vector_index(i * width, width))) for i in range(count)
        ]

    def _read(self, first: Sequence[Index]) -> Any:
        """What is transposed, one vector after another."""
        block, inside = self.block, [first[self.axes.index(d)] for d in range(len(self.axes))]
        if block.is_read_joined:
            begin = Point(self.inside, tuple(inside)).linear
            return self._each(
                block.lanes, block.rows, self.source,
                lambda i, lane: self.evaluator.element(
                    self.source, Point(self.inside, flat=begin + i * block.rows + lane)
                ),
            )  # fmt: skip

        def element(i: int, lane: Expr) -> Expr:
            at = list(inside)
            at[self.axes[-1]], at[-1] = at[self.axes[-1]] + i, at[-1] + lane
            return self.evaluator.element(self.source, Point(self.inside, tuple(at)))

        return self._each(block.rows, block.lanes, self.source, element)

    def _each(self, count: int, width: int, arg: int, element: Callable[[int, Expr], Expr]) -> Any:
        """A local array of ``count`` vectors of ``element(vector, lane)``."""
        builder = self.builder
        local = builder.local(count * width, self.dtype)
        for i in range(count):
            with builder.vector(width) as lane:
                builder.store(local, i * width + lane, element(i, lane))
        return local

    def _write(self, first: Sequence[Index], local: Any) -> None:
        """The output's elements of what was transposed, one vector after another."""
        block = self.block
        if block.is_written_joined:
            begin = Point(self.shape, tuple(first)).linear
            for i in range(block.rows):
                with self.builder.vector(block.lanes) as lane:
                    place = i * block.lanes + lane
                    self._store(Point(self.shape, flat=begin + place), local, place)
            return
        for i in range(block.lanes):
            with self.builder.vector(block.rows) as lane:
                at = list(first)
                at[self.moved], at[-1] = at[self.moved] + i, at[-1] + lane
                self._store(Point(self.shape, tuple(at)), local, i * block.rows + lane)

    def _store(self, point: Point, local: Any, place: Index) -> None:
        self.evaluator.store(point, self.builder.load(local, place))


def _limited(count: int, most: int) -> int:
    return min(count, most) if isinstance(most, int) else count
