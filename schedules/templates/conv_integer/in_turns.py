"""Convolutions by whole tiles in turn, as products are (see ``gemm_integer/in_turns``).

Where windows move by one pixel the rows of an image lie in scratch one right after the other, and
so do the windows of all outputs: a tile takes neighbours from one row to the next, those included
that begin in one row and end in the next one, whose sums nobody stores. Otherwise a tile is of one
row of outputs. Either way it is always of as many: what is beyond the last one is not stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...emit.tile import column_parts
from ...emit.whole_tiles import KeptSums
from ...tir.indices import Expr, Index, ceildiv, divide, modulo
from ...tir.point import Point
from ...tvm_late import tirx

if TYPE_CHECKING:
    from .emit import ConvNest

Extent = tuple[Index, Index]  # the first, and how many


def in_turns(nest: ConvNest, image: Index, rows: Extent, units: Extent) -> None:
    """Some rows of outputs of an image, and panels of all groups: a panel stays while tiles pass,
    or the other way round, as knobs say."""
    _Turns(nest, image, rows, units).write()


class _Turns:
    def __init__(self, nest: ConvNest, image: Index, rows: Extent, units: Extent) -> None:
        self.nest, self.image, self.rows, self.units = nest, image, rows, units
        self.builder, self.tile_w = nest.builder, nest.knobs.tile_w
        self.in_line = nest.form.in_line(nest.knobs.weights)
        self.wide = nest.lines.wide if self.in_line else nest.out_w  # windows that begin in a row
        self.pieces, most = self._pieces(rows[1]), self._pieces(nest.knobs.rows)
        self.most = most  # of them in a chunk

    def _pieces(self, rows: Index) -> Index:
        """Tiles that so many rows of outputs take."""
        if self.in_line:
            return ceildiv((rows - 1) * self.wide + self.nest.out_w, self.tile_w)
        return rows * self.nest.tiles

    def write(self) -> None:
        """One turn more than there are tiles of sums, to store those of the last one."""
        builder, nest = self.builder, self.nest
        sums = builder.local(self.tile_w * nest.width, nest.micro.accumulator.name)
        pieces = builder.let(self.pieces)
        count = builder.let(pieces * self.units[1])
        with builder.loop(count + 1, "turn") as turn:
            unit, piece = self._place(turn, pieces)
            registers = {}
            with builder.when(turn < count):
                row, column = self._first(piece)
                weights = builder.let(unit * nest.panel_size)
                corner = builder.let(nest.corner(divide(unit, nest.panels), row, column))
                for _, channels in self._blocks(unit):
                    extents, tiles = (self.tile_w, channels), (piece, self.most)
                    registers[channels] = nest.multiplied(extents, unit, weights, corner, tiles)
            with builder.when(turn > 0):
                before, piece_before = self._place(turn - 1, pieces)
                for channel0, channels in self._blocks(before):
                    self._store(sums, piece_before, channel0, channels)
            with builder.when(turn < count):
                for _, channels in self._blocks(unit):
                    registers[channels].keep(sums)

    def _place(self, turn: Index, pieces: Index) -> tuple[Index, Index]:
        """The panel and the tile of a turn."""
        builder, (first, some) = self.builder, self.units
        if self.nest.knobs.order == "rows":
            return builder.let(modulo(turn, some) + first), builder.let(divide(turn, some))
        return builder.let(divide(turn, pieces) + first), builder.let(modulo(turn, pieces))

    def _first(self, piece: Index) -> tuple[Index, Index]:
        """Row and column of a tile's first window; columns go on in the next row."""
        if self.in_line:
            return 0, self.builder.let(piece * self.tile_w)
        row = self.builder.let(divide(piece, self.nest.tiles))
        return row, self.builder.let(modulo(piece, self.nest.tiles) * self.tile_w)

    def _blocks(self, unit: Index) -> Iterator[tuple[Index, int]]:
        """(first channel, channels) of a panel, each in a branch of its own."""
        builder, nest = self.builder, self.nest
        group, panel = divide(unit, nest.panels), modulo(unit, nest.panels)
        first = builder.let(group * nest.form.per_group)
        for begin, channels in builder.block(panel, nest.width, nest.form.per_group):
            yield builder.let(first + begin), channels

    def _store(self, sums: Expr, piece: Index, channel0: Index, channels: int) -> None:
        builder, nest = self.builder, self.nest
        shape, (first, count) = nest.workload.output.shape, self.rows
        row, column = self._first(piece)
        found: list[Expr] = []  # row and column of an output

        def present(output: Index) -> Expr:
            """Whether it is one."""
            beyond = builder.let(column + output)
            down = divide(beyond, self.wide) if self.in_line else row
            across = modulo(beyond, self.wide) if self.in_line else beyond
            found[:] = [builder.let(first + down), builder.let(across)]
            inside = found[1] < nest.out_w
            return tirx.all(inside, found[0] < first + count) if self.in_line else inside

        def point(_: Index, offset: Index) -> Point:
            oh, ow = found
            flat = ((self.image * nest.out_h + oh) * nest.out_w + ow) * nest.out_c
            at = (self.image, oh, ow, channel0 + offset)
            return Point(shape, at, flat + channel0 + offset)

        parts = column_parts(channels, nest.lanes)
        kept = KeptSums(builder, self.tile_w, parts, nest.micro, buffer=sums, present=present)
        nest.store(kept, channels, point)
