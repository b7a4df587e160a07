"""Transposition with what is elementwise around it, where the last axis moves.

Read along the output the source would be gathered one element at a time. So a tile is evaluated in
vectors along the axis that is contiguous in the source, kept in registers, and stored along the
last axis of the output.

Knobs: ``lanes`` (width of the vectors that are read), ``columns`` (how many of them make a tile),
``grain`` (output elements in a chunk).
"""

from __future__ import annotations

import math

from ...emit.evaluator import Evaluator, Point
from ...ir.size import Size, at_least
from ...tir.indices import Index, ceildiv, divide, extent, modulo, split_index, tail
from ...tir.literals import storage
from ..form import Emitted
from ..slots import phase_builder
from .form import Knobs, Transpose


def kernel(form: Transpose, knobs: Knobs) -> Emitted:
    """One phase; chunks are groups of rows, which run over all axes but the two of the tile."""
    return _Transpose(form, knobs).build()


class _Transpose:
    def __init__(self, form: Transpose, knobs: Knobs) -> None:
        self.form, self.workload, self.moved = form, form.workload, form.moved
        self.shape = form.workload.output.shape
        self.last = len(self.shape) - 1
        self.lanes, self.columns, self.grain = knobs
        self.others = [d for d in range(self.last) if d != form.moved]

    def build(self) -> Emitted:
        """The kernel."""
        self.builder = builder = phase_builder(self.form, {})
        self.evaluator = Evaluator(self.workload, builder)
        extents = [self.shape[d] for d in self.others]
        strips = ceildiv(self.shape[self.moved], self.lanes)
        rows = math.prod(extents) * strips
        group = at_least(self.grain // at_least(self.lanes * self.shape[-1], 1), 1)
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * group)
            with builder.loop(extent(first, group, rows), "row", first) as row:
                coords: list[Index] = [0] * len(self.shape)
                split = split_index(divide(row, strips), extents)
                for d, c in zip(self.others, split, strict=True):
                    coords[d] = builder.let(c)
                self._strip(coords, builder.let(modulo(row, strips)))
        return Emitted((builder.finish(ceildiv(rows, group)),))

    def _strip(self, coords: list[Index], strip: Index) -> None:
        """``lanes`` neighbours along the moved axis; the last strip may have fewer."""
        extent = self.shape[self.moved]
        if isinstance(extent, Size):
            for first, lanes in self.builder.block(strip, self.lanes, extent):
                self._tiles(coords, self.builder.let(first), lanes)
            return
        full, rest = divmod(extent, self.lanes)
        if not rest:
            self._tiles(coords, strip * self.lanes, self.lanes)
            return
        with self.builder.when(strip < full):
            self._tiles(coords, strip * self.lanes, self.lanes)
        with self.builder.when(strip == full):
            for offset, width in tail(0, rest, self.lanes):
                self._tiles(coords, full * self.lanes + offset, width)

    def _tiles(self, coords: list[Index], first: Index, lanes: int) -> None:
        """Tiles side by side along the last axis."""
        extent = self.shape[-1]
        full, rest = extent // self.columns, extent % self.columns
        if full != 0:
            with self.builder.loop(full, "tile") as tile:
                self._tile(coords, first, lanes, tile * self.columns, self.columns)
        if isinstance(rest, Size):
            with self.builder.loop(rest, "rest") as column:
                self._tile(coords, first, lanes, full * self.columns + column, 1)
            return
        for offset, width in tail(full * self.columns, full * self.columns + rest, self.columns):
            self._tile(coords, first, lanes, offset, width)

    def _tile(
        self, coords: list[Index], first: Index, lanes: int, column: Index, columns: int
    ) -> None:
        builder = self.builder
        local = builder.local(columns * lanes, storage(self.workload.output.dtype))
        for c in range(columns):
            with builder.vector(lanes, self.evaluator.is_serial()) as lane:
                at = list(coords)
                at[self.moved], at[self.last] = first + lane, column + c
                element = self.evaluator.finish(Point(self.shape, tuple(at)))
                builder.store(local, c * lanes + lane, element)
        for lane in range(lanes):
            with builder.vector(columns) as c:
                at = list(coords)
                at[self.moved], at[self.last] = first + lane, column + c
                value = builder.load(local, c * lanes + lane)
                place = Point(self.shape, tuple(at)).position(self.form.placement.output)
                builder.store(builder["out"], place, value)
