"""The loop nest of products of whole numbers, and what it holds in scratch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...emit import crossed_pairs
from ...emit.builder import PhaseBuilder, Slot
from ...emit.dot_products import wrapping_sum
from ...emit.evaluator import Evaluator, Point
from ...emit.prefetch import ask_for_share, ask_for_whole
from ...emit.quantized import store_rows
from ...emit.staging import copy_row, interleave_rows, row_pitch, widen_panel
from ...emit.tile import RegisterTile, column_parts, vector_index
from ...emit.whole_tiles import TileProduct
from ...ir.dtype import INT32
from ...ir.kernel import Array, Packing
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo
from ...tir.point import matrix_point
from ..collapse import collapse
from ..form import Emitted
from ..fused import epilogue, without_bias
from ..gemm.emit import batch_offset
from ..slots import input_slots, output_slot
from .form import STAGED, IntegerGemm, Knobs
from .in_turns import Extent, in_turns


class ProductNest:
    """The numbers of one product, and the loop nest over them."""

    def __init__(self, form: IntegerGemm, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.p, self.lanes, p = form.product, form.lanes, form.product
        self.micro, self.source = form.micro(knobs.weights), form.packing(knobs.weights)
        self.stages = not p.packed or knobs.weights in STAGED
        self.crosses = knobs.weights == "crossed"
        self.rows, self.width = knobs.rows, knobs.vectors * self.lanes
        self.panels, self.tiles = ceildiv(p.n, self.width), ceildiv(p.m, self.rows)
        self.blocks = self.micro.blocks(p.k)
        self.panel_size = self.micro.panel(self.blocks, self.width)
        self.held_panel = self.panel_size  # elements of one in scratch
        self.gathers = form.gathers(knobs.weights)
        self.pitch = row_pitch(self.blocks * self.micro.steps, self.micro.a)
        self.held = 1 if knobs.order == "rows" else knobs.m_block  # tiles whose rows are in scratch
        self.ahead = knobs.n_block  # by how many panels what is asked for comes later
        self.bias: str | None = None  # the slot of what all rows' sums start from

    def build(self) -> Emitted:
        """The kernel."""
        packings = {self.p.b: self._packing()} if self.p.packed else {}
        after, bias = collapse(epilogue(self.workload), keep_last=True), None
        if self.micro.starts:
            after, bias = without_bias(after)
        if bias is not None:
            self.bias = f"in{bias - 1}"
            packings[bias - 1] = self._padded()
        own, scratch = self._scratch()
        slots = [*input_slots(self.form, packings), output_slot(self.form), *own]
        self.builder = builder = PhaseBuilder(slots)
        self.evaluator = Evaluator(after, builder, anchor=0, tables=self.form.target)
        m_block, n_block = self.knobs.m_block, self.knobs.n_block
        m_blocks, n_blocks = ceildiv(self.tiles, m_block), ceildiv(self.panels, n_block)
        batch = math.prod(self.p.batch)
        with (
            self.micro.registers(builder, self.width) as self.register,
            builder.chunk_loop() as chunk,
        ):
            tile0 = builder.let(modulo(chunk, m_blocks) * m_block)
            rest = divide(chunk, m_blocks)
            panel0 = builder.let(modulo(rest, n_blocks) * n_block)
            at = 0 if batch == 1 else builder.let(divide(rest, n_blocks))
            tiles = extent(tile0, m_block, self.tiles)
            panels = extent(panel0, n_block, self.panels)
            if isinstance(self.micro, TileProduct):
                in_turns(self, at, (tile0, tiles), (panel0, panels))
            elif self.knobs.order == "rows":
                self._by_rows(at, (tile0, tiles), (panel0, panels))
            else:
                self._by_panels(at, (tile0, tiles), (panel0, panels))
        return Emitted((builder.finish(batch * n_blocks * m_blocks),), packings, scratch=scratch)

    def _packing(self) -> Packing:
        p, source, width = self.p, self.source, self.width

        def pack(array: Array) -> Array:
            matrix = array.reshape(p.n, p.k).T if p.transpose_b else array.reshape(p.k, p.n)
            return source.packed(matrix, width)

        shape = self.panels, source.panel(self.blocks, width)
        return Packing(shape, pack, source.element.name)

    def _padded(self) -> Packing:
        """A number for each column, and zeros for those that only panels have."""
        columns = self.panels * self.width
        return Packing((columns,), lambda array: np.pad(array.ravel(), (0, columns - array.size)))

    def _scratch(self) -> tuple[list[Slot], int]:
        """Room for a panel of B and for rows of A, where these are brought there."""
        own, used = [], 0
        if self.stages:
            panel = Tensor((self.held_panel,), self.micro.element.name)
            own.append(Slot(None, "panel", panel))
            used = ceildiv(panel.nbytes, 64) * 64
        if self.gathers:
            rows = Tensor((self.held * self.rows * self.pitch,), self.micro.a.name)
            own.append(Slot(None, "rows", rows, offset=used))
            used += rows.nbytes
        if self.crosses:
            terms = self.held * self.rows + self.lanes  # the last ones are written as a vector
            for name, count in (("columns", self.width), ("terms", terms)):
                held = Tensor((count,), INT32.name)
                own.append(Slot(None, name, held, offset=used))
                used += ceildiv(held.nbytes, 64) * 64
        return own, used

    def _by_rows(self, at: Index, tiles: tuple[Index, Index], panels: tuple[Index, Index]) -> None:
        """The rows of a tile stay while panels stream by."""
        builder = self.builder
        with builder.loop(tiles[1], "tile", tiles[0]) as tile:
            for first, rows in builder.block(tile, self.rows, self.p.m):
                row0 = builder.let(first)
                self.gather(at, row0, rows, 0)
                with builder.loop(panels[1], "panel", panels[0]) as panel:
                    self.stage(at, panel)
                    self._tiles(at, (row0, rows), 0, panel)

    def _by_panels(
        self, at: Index, tiles: tuple[Index, Index], panels: tuple[Index, Index]
    ) -> None:
        """A panel stays while the rows of tiles stream by."""
        builder = self.builder
        self.gather_all(at, tiles)
        with builder.loop(panels[1], "panel", panels[0]) as panel:
            self.stage(at, panel)
            with builder.loop(tiles[1], "tile", tiles[0]) as tile:
                place = (tile - tiles[0]) * self.rows
                for first, rows in builder.block(tile, self.rows, self.p.m):
                    self._tiles(at, (builder.let(first), rows), place, panel)

    def gather_all(self, at: Index, tiles: Extent) -> None:
        """The rows of all tiles into scratch."""
        builder = self.builder
        if self.gathers:
            with builder.loop(tiles[1], "tile", tiles[0]) as tile:
                place = (tile - tiles[0]) * self.rows
                for first, rows in builder.block(tile, self.rows, self.p.m):
                    self.gather(at, builder.let(first), rows, place)

    def gather(self, at: Index, row0: Index, rows: int, place: Index) -> None:
        """Rows of A into scratch, as the instruction reads them."""
        if not self.gathers:
            return
        self._copy_rows(self._row(at, row0), rows, place, self.p.k)

    def _row(self, at: Index, row0: Index) -> Index:
        """Where a row of A begins."""
        p = self.p
        return batch_offset(self.workload, p, p.a, at, p.m * p.k) + row0 * p.k

    def _copy_rows(self, a0: Index, rows: int, place: Index, count: int) -> None:
        """So many neighbours of some rows, from a place in A on."""
        builder, p = self.builder, self.p
        with builder.loop(rows, "row") as row:
            source = (builder[f"in{p.a}"], builder.let(a0 + row * p.k))
            target = (builder["rows"], builder.let((place + row) * self.pitch))
            if self.crosses:
                crossed_pairs.zero_end(builder, target, count, self.lanes)
            copy_row(builder, source, target, count, self.micro, self.lanes)
        if self.crosses:
            held = builder["rows"], builder.let(place * self.pitch), self.pitch
            terms = builder["terms"], place
            crossed_pairs.store_row_terms(builder, held, (rows, count), terms, self.lanes)

    def stage(self, at: Index, panel: Index) -> None:
        """A panel of B into scratch, as it is multiplied, where it does not lie so."""
        builder, p = self.builder, self.p
        if not self.stages:
            return
        if p.packed:
            first = builder.let(panel * self.panel_size)
            widen_panel(
                builder, (builder[f"in{p.b}"], first), builder["panel"], self.panel_size, self.lanes
            )
            if self.crosses:
                bias = None
                if self.bias is not None:
                    bias = builder[self.bias], builder.let(panel * self.width)
                extents = self.blocks, self.width
                crossed_pairs.store_column_terms(
                    builder, builder["panel"], extents, bias, builder["columns"], self.lanes
                )
            return
        for column0, columns in builder.block(panel, self.width, p.n):
            first = batch_offset(self.workload, p, p.b, at, p.n * p.k) + column0
            source = (builder[f"in{p.b}"], builder.let(first))
            interleave_rows(
                builder,
                source,
                builder["panel"],
                (p.k, p.n),
                (columns, self.width),
                self.micro,
                self.lanes,
            )

    def _tiles(self, at: Index, rows: tuple[Index, int], place: Index, panel: Index) -> None:
        """The tile of some rows and a panel, whose last columns may be fewer."""
        builder, p = self.builder, self.p
        for column0, columns in builder.block(panel, self.width, p.n):
            register = self.multiplied(at, rows, place, panel, (column0, columns))
            self.store(register, builder.let(at * p.m + rows[0]), column0, columns)

    def multiplied(
        self,
        at: Index,
        rows: tuple[Index, int],
        place: Index,
        panel: Index,
        columns: tuple[Index, int],
    ) -> Any:
        """The tile of some rows and columns with its sums."""
        builder = self.builder
        if self.gathers:
            a, a0 = builder["rows"], builder.let(place * self.pitch)
        else:
            a = builder[f"in{self.p.a}"]
            a0 = builder.let(self._row(at, rows[0]))
        register = self.register(rows[1], column_parts(columns[1], self.lanes))
        if self.crosses:
            terms = builder["terms"], place
            crossed_pairs.start_tile(register, terms, builder["columns"], builder)
        self._reduce(register, (a, a0), panel, columns[0], divide(rows[0], self.rows))
        return register

    def _reduce(
        self,
        register: RegisterTile,
        rows: tuple[object, Index],
        panel: Index,
        column0: Index,
        tile: Index,
    ) -> None:
        """The loop over K, of the tile of rows with this number."""
        builder, micro, unroll = self.builder, self.micro, self.knobs.unroll
        (a, a0), b = rows, builder["panel"] if self.stages else builder[f"in{self.p.b}"]
        b0 = 0 if self.stages else builder.let(panel * self.panel_size)
        self._start(register, b, b0, column0)
        first = b0 + micro.header(self.width)
        pitch = self.pitch if self.gathers else self.p.k
        steps = self.blocks // micro.groups // unroll
        units = micro.units(self.width * micro.groups)
        streams = self.form.streams(self.knobs) and not self.stages
        ask = ask_rows = None
        if self.form.fetches and not self.gathers:
            size = register.rows * self.p.k
            element = self.form.types[0]
            ask_rows = ask_for_share(builder, a, builder.let(a0 + size), size, element, steps)
        if streams and isinstance(self.tiles, int) and self.tiles > 1:
            times = self.tiles * steps
            following = builder.let(b0 + self.ahead * self.panel_size)
            ask = ask_for_share(builder, b, following, self.panel_size, micro.element, times)
        with builder.loop(steps, "k") as block:
            if ask is not None:
                ask(tile * steps + block)
            elif streams:
                each = units * unroll
                ask_for_whole(builder, b, first + block * each, each, micro.element)
            if ask_rows is not None:
                ask_rows(block)
            for u in range(unroll):
                k = block * unroll + u
                shared = a, a0 + k * (micro.steps * micro.groups), pitch
                micro.step(register, shared, (b, first + k * units))

    def _start(self, register: RegisterTile, b: object, b0: Index, column0: Index) -> None:
        """What sums begin with, where that is not zero, or there already."""
        builder, micro, bias = self.builder, self.micro, self.bias
        if self.crosses:
            return

        def start(column: int, lanes: int) -> Expr:
            if bias is None:
                return micro.start(builder, b, b0 + micro.header(column), lanes)
            first = builder.load(builder[bias], vector_index(column0 + column, lanes))
            if not micro.lifted:
                return first
            return wrapping_sum(
                micro.start(builder, b, b0 + micro.header(column), lanes), first, lanes
            )

        if micro.lifted or bias is not None:
            register.start(start)

    def store(self, register: RegisterTile, row0: Index, column0: Index, columns: int) -> None:
        """What is made of the sums of some rows and columns."""
        p, builder = self.p, self.builder
        shape = self.evaluator.workload.output.shape
        first = 0 if self.panels == 1 else builder.let(column0)

        def point(row: Index, column: Index) -> Point:
            return matrix_point(shape, p.n, row0 + row, first + column)

        store_rows(register, self.evaluator, columns, point, self.lanes)
