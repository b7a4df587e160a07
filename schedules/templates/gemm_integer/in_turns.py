"""Products by whole tiles in turn, and what is made of a tile's sums while the next one's grow.

An instruction for whole tiles keeps a unit of its own busy for many cycles, and vectors are idle
meanwhile. So in each turn the products of a tile of rows and a panel begin, then what is made of
the sums of the turn before is computed and stored, and only then the new sums are kept in memory:
a processor looks some hundred instructions ahead, and what it reads waits for what was written
just before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...emit.tile import column_parts
from ...emit.whole_tiles import KeptSums
from ...tir.indices import Index, divide, modulo
from ...tir.point import matrix_point

if TYPE_CHECKING:
    from .nest import ProductNest

LINE_BYTES = 64
Extent = tuple[Index, Index]  # the first, and how many


def in_turns(nest: ProductNest, at: Index, tiles: Extent, panels: Extent) -> None:
    """The tiles of some rows, and panels, of matrix ``at`` of a batch: rows stay while panels
    stream by, or the other way round, as knobs say."""
    _Turns(nest, at, tiles, panels).write()


class _Turns:
    def __init__(self, nest: ProductNest, at: Index, tiles: Extent, panels: Extent) -> None:
        self.nest, self.at, self.tiles, self.panels = nest, at, tiles, panels
        self.builder, self.by_rows = nest.builder, nest.knobs.order == "rows"
        self.outer, self.inner = (tiles, panels) if self.by_rows else (panels, tiles)

    def write(self) -> None:
        """One turn more than there are tiles of sums, to store those of the last one."""
        builder, nest, at = self.builder, self.nest, self.at
        sums = builder.local(nest.rows * nest.width, nest.micro.accumulator.name)
        if not self.by_rows:
            nest.gather_all(at, self.tiles)
        count = builder.let(self.tiles[1] * self.panels[1])
        with builder.loop(count + 1, "turn") as turn:
            tile, panel = self._place(turn)
            registers = {}
            with builder.when(turn < count):
                self._bring(turn, tile, panel)
                held: Index = 0
                if not self.by_rows:
                    held = builder.let((tile - self.tiles[0]) * nest.rows)
                for row0, rows, column0, columns in self._blocks(tile, panel):
                    register = nest.multiplied(at, (row0, rows), held, panel, (column0, columns))
                    registers[rows, columns] = register
                    self._ask(row0, rows, column0, columns)
            with builder.when(turn > 0):
                for row0, rows, column0, columns in self._blocks(*self._place(turn - 1)):
                    parts = column_parts(columns, nest.lanes)
                    kept = KeptSums(builder, rows, parts, nest.micro, buffer=sums)
                    nest.store(kept, builder.let(at * nest.p.m + row0), column0, columns)
            with builder.when(turn < count):
                for _, rows, _, columns in self._blocks(tile, panel):
                    registers[rows, columns].keep(sums)

    def _ask(self, row0: Index, rows: int, column0: Index, columns: int) -> None:
        """For the lines that the next turn writes, and those that it reads like them, where a tile
        has whole ones of each row."""
        builder, nest = self.builder, self.nest
        after = nest.evaluator.workload
        alike = [i for i, x in enumerate(after.inputs) if i and x.shape == after.output.shape]
        found = {f"in{i - 1}": after.inputs[i].element for i in alike}
        found["out"] = after.output.element
        asked = {x: e.bytes for x, e in found.items() if e.nbytes(columns) % LINE_BYTES == 0}
        if not asked:
            return
        with builder.loop(rows, "row") as row:
            number = self.at * nest.p.m + row0 + row
            point = matrix_point(after.output.shape, nest.p.n, number, column0)
            for name, size in asked.items():
                first = builder.let(point.position(builder.pitch(name)))
                for column in range(0, columns, LINE_BYTES // size):
                    builder.prefetch(builder[name], first + column)

    def _place(self, turn: Index) -> tuple[Index, Index]:
        """The tile and the panel of a turn."""
        outer = self.builder.let(divide(turn, self.inner[1]) + self.outer[0])
        inner = self.builder.let(modulo(turn, self.inner[1]) + self.inner[0])
        return (outer, inner) if self.by_rows else (inner, outer)

    def _bring(self, turn: Index, tile: Index, panel: Index) -> None:
        """What several turns read into scratch, before the first of them."""
        builder, nest = self.builder, self.nest
        if not (nest.gathers if self.by_rows else nest.stages):
            return
        with builder.when(modulo(turn, self.inner[1]) == 0):
            if self.by_rows:
                for row0, rows in builder.block(tile, nest.rows, nest.p.m):
                    nest.gather(self.at, builder.let(row0), rows, 0)
            else:
                nest.stage(self.at, panel)

    def _blocks(self, tile: Index, panel: Index) -> Iterator[tuple[Index, int, Index, int]]:
        """(first row, rows, first column, columns), each in a branch of its own."""
        builder, nest = self.builder, self.nest
        for row0, rows in builder.block(tile, nest.rows, nest.p.m):
            first = builder.let(row0)
            for column0, columns in builder.block(panel, nest.width, nest.p.n):
                yield first, rows, column0, columns
