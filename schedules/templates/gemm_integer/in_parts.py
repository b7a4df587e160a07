"""Products of whole numbers whose reduction is cut in parts, for all tiles of a chunk one after the
other.

What is held of a panel, and of rows, is a part of K: panels stay in L1 and rows in L2 however long
K is, and a number of B is widened once for many rows. Sums lie in scratch between parts; they are
right modulo 2^32, where pairs are crossed, after each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from ...emit import crossed_pairs
from ...emit.builder import Slot
from ...emit.staging import row_pitch, widen_panel
from ...emit.tile import RegisterTile, column_parts, splat, vector_index
from ...ir.dtype import INT32
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv
from ...tir.literals import constant
from .form import IntegerGemm, Knobs
from .nest import ProductNest

Extent = tuple[Index, Index]  # the first, and how many


class _Tile(NamedTuple):
    """``place`` is that of its first row in scratch, ``sums`` where its sums begin there."""

    row0: Index
    rows: int
    column0: Index
    columns: int
    place: Index
    sums: Index


class NestInParts(ProductNest):
    """By panels, whose numbers are widened."""

    def __init__(self, form: IntegerGemm, knobs: Knobs) -> None:
        super().__init__(form, knobs)
        self.each = self.micro.steps * self.micro.groups  # numbers of a row in a step
        part = ceildiv(form.depth(knobs.weights), knobs.k_parts)
        self.part = part * self.each
        self.held_panel = self._elements(part)
        if self.gathers:
            self.pitch = row_pitch(self.part, self.micro.a)

    def _elements(self, steps: int) -> int:
        """Of a panel."""
        return self.micro.units(self.width * self.micro.groups * steps)

    def _scratch(self) -> tuple[list[Slot], int]:
        """Sums of a chunk, too."""
        own, used = super()._scratch()
        panels = min(self.knobs.n_block, self.panels)
        sums = Tensor((panels * self.held * self.rows * self.width,), INT32.name)
        used = ceildiv(used, 64) * 64
        return [*own, Slot(None, "sums", sums, offset=used)], used + sums.nbytes

    def _by_panels(self, at: Index, tiles: Extent, panels: Extent) -> None:
        builder = self.builder
        for tile in self._each_tile(tiles, panels):
            register = self.register(tile.rows, column_parts(tile.columns, self.lanes))
            self._keep(register, tile, partial(self._first_sums, tile.column0))
        for first, count in builder.pieces(self.p.k, self.part, "part"):
            k0, steps = builder.let(first), ceildiv(count, self.each)
            self._gather_part(at, tiles, (k0, count))
            stage = partial(self._stage_part, k0=k0, steps=steps)
            for tile in self._each_tile(tiles, panels, stage):
                self._add_part(at, tile, k0, steps)
        for tile in self._each_tile(tiles, panels):
            register = self._resumed(tile)
            self.store(register, builder.let(at * self.p.m + tile.row0), tile.column0, tile.columns)

    def _each_tile(
        self, tiles: Extent, panels: Extent, stage: Callable[[Index], None] | None = None
    ) -> Iterator[_Tile]:
        """Written once, or in branches of its own for one that is smaller; ``stage`` is called for
        each panel."""
        builder, p = self.builder, self.p
        with builder.loop(panels[1], "panel", panels[0]) as panel:
            if stage is not None:
                stage(panel)
            sums0 = builder.let((panel - panels[0]) * (self.held * self.rows * self.width))
            with builder.loop(tiles[1], "tile", tiles[0]) as tile:
                place = builder.let((tile - tiles[0]) * self.rows)
                sums = builder.let(sums0 + place * self.width)
                for row0, rows in builder.block(tile, self.rows, p.m):
                    for column0, columns in builder.block(panel, self.width, p.n):
                        yield _Tile(builder.let(row0), rows, column0, columns, place, sums)

    def _first_sums(self, column0: Index, column: int, lanes: int) -> Expr:
        """Before the first part."""
        if self.bias is None:
            return splat(constant(0, INT32.name), lanes)
        return self.builder.load(self.builder[self.bias], vector_index(column0 + column, lanes))

    def _gather_part(self, at: Index, tiles: Extent, part: tuple[Index, int]) -> None:
        """From a number on so many of each row into scratch."""
        if not self.gathers:
            return
        builder, (k0, count) = self.builder, part
        with builder.loop(tiles[1], "tile", tiles[0]) as tile:
            place = builder.let((tile - tiles[0]) * self.rows)
            for row0, rows in builder.block(tile, self.rows, self.p.m):
                self._copy_rows(builder.let(self._row(at, row0) + k0), rows, place, count)

    def _stage_part(self, panel: Index, k0: Index, steps: int) -> None:
        """From a number on so many steps of a panel into scratch, in 16 bits."""
        builder, lanes, count = self.builder, self.lanes, self._elements(steps)
        first = builder.let(panel * self.panel_size + k0 * self.width)
        source = builder[f"in{self.p.b}"], first
        widen_panel(builder, source, builder["panel"], count, lanes, self.panel_size)
        if self.crosses:
            extents = steps * self.micro.groups, self.width
            columns = builder["columns"]
            crossed_pairs.store_column_terms(
                builder, builder["panel"], extents, None, columns, lanes
            )

    def _add_part(self, at: Index, tile: _Tile, k0: Index, steps: int) -> None:
        """The steps of a part."""
        builder, unroll = self.builder, self.knobs.unroll
        if self.gathers:
            a, a0, pitch = builder["rows"], builder.let(tile.place * self.pitch), self.pitch
        else:
            a, a0, pitch = builder[f"in{self.p.a}"], self._row(at, tile.row0) + k0, self.p.k
            a0 = builder.let(a0)
        register = self._resumed(tile)
        if self.crosses:
            terms = builder["terms"], tile.place
            crossed_pairs.add_terms(register, terms, builder["columns"], builder)

        def step(k: Index) -> None:
            own = builder["panel"], k * self._elements(1)
            self.micro.step(register, (a, a0 + k * self.each, pitch), own)

        with builder.loop(steps // unroll, "k") as block:
            for u in range(unroll):
                step(block * unroll + u)
        for k in range(steps // unroll * unroll, steps):
            step(k)
        self._keep(register, tile)

    def _resumed(self, tile: _Tile) -> RegisterTile:
        """With the sums that scratch holds."""
        builder = self.builder
        register = self.register(tile.rows, column_parts(tile.columns, self.lanes))
        for row in range(register.rows):
            for part, (column, lanes) in enumerate(register.parts):
                held = builder.load(builder["sums"], self._place(tile, row, column, lanes))
                register.update(row, part, lambda _, held=held: held)  # type: ignore[misc]
        return register

    def _keep(
        self,
        register: RegisterTile,
        tile: _Tile,
        value: Callable[[int, int], Expr] | None = None,
    ) -> None:
        """Sums into scratch, or what ``value(first column, lanes)`` gives for all rows."""
        builder = self.builder
        for row in range(register.rows):
            for part, (column, lanes) in enumerate(register.parts):
                kept = register.vector(row, part) if value is None else value(column, lanes)
                builder.store(builder["sums"], self._place(tile, row, column, lanes), kept)

    def _place(self, tile: _Tile, row: int, column: int, lanes: int) -> Any:
        return vector_index(tile.sums + row * self.width + column, lanes)
