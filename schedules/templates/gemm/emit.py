"""Matrix products: C[M,N] = A[M,K] B[K,N], batched or not, and 1x1 convolutions, which are one.

A is read as it lies, one scalar per row and step. A constant B is packed as
[panel][K][panel width]; any other B is read in rows, or a chunk copies each panel into scratch
before it uses it, which it always does where B lies in columns. The register tile is ``rows`` by
``vectors``. A chunk is a block of rows by a block of panels; inside it either the panel stays and
the rows stream by, or the other way.

Knobs: ``rows``, ``vectors`` (the register tile), ``m_block`` (register tiles of rows in a chunk),
``n_block`` (panels in a chunk), ``order`` (the outer loop inside a chunk; ``copied``: panels, each
of which is copied first), ``unroll`` (steps of K written out), ``ahead`` (how many tiles later the
rows are used that are asked for).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from ...emit.builder import PhaseBuilder, Slot
from ...emit.evaluator import Evaluator
from ...emit.lanes import Rows, load_columns
from ...emit.prefetch import ask_for, ask_for_share
from ...emit.steps import each_step
from ...emit.tile import LINE, RegisterTile, column_parts, vector_index
from ...ir.kernel import Array, Packing
from ...ir.workload import Tensor, Workload
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, split_index, tail
from ...tir.point import flatten, matrix_point
from ..collapse import collapse
from ..form import Emitted
from ..fused import epilogue
from ..shares import place
from ..slots import input_slots, output_slot
from .form import Gemm, Knobs, Product

Ask = Callable[[Index], None]  # by the first step of a pass
_ROWS_AHEAD = 8  # rows of B between the one that is used and the one that is asked for


def pack_matrix(array: Array, p: Product, width: int) -> Array:
    """B as the micro-kernel wants it."""
    return p.micro.pack(matrix_of(array, p), width)


def matrix_of(array: Array, p: Product) -> Array:
    """B, [K, N]."""
    return array.reshape(p.n, p.k).T if p.transpose_b else array.reshape(p.k, p.n)


def batch_offset(workload: Workload, p: Product, arg: int, at: Index, size: int) -> Index:
    """Where the matrix of batch ``at`` starts in an operand, which may broadcast."""
    if not p.batch:
        return 0
    shape = workload.tensor(arg).shape[:-2]
    if shape == p.batch:
        return at * size
    coords = split_index(at, p.batch)[len(p.batch) - len(shape) :]
    chosen = tuple(0 if d == 1 else c for c, d in zip(coords, shape, strict=True))
    return flatten(chosen, shape) * size


def kernel(form: Gemm, knobs: Knobs) -> Emitted:
    """One phase; chunks are (batch, block of panels, block of rows)."""
    return GemmNest(form, knobs).build()


class GemmNest:
    """The numbers of one product, and the loop nest over them."""

    def __init__(self, form: Gemm, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.p, self.lanes, p = form.product, form.column_lanes, form.product
        self.rows, self.width = knobs.rows, knobs.vectors * self.lanes
        self.panels, self.tiles = ceildiv(p.n, self.width), ceildiv(p.m, self.rows)
        shape = p.micro.packed_shape(p.k, p.n, self.width)
        packing = Packing(shape, lambda b: pack_matrix(b, p, self.width))
        self.packings = {p.b: packing} if p.packed else {}
        self.staged = p.staged or knobs.order == "copied"

    def build(self) -> Emitted:
        """The kernel."""
        slots = [*input_slots(self.form, self.packings), output_slot(self.form)]
        stage = Slot(None, "stage", Tensor((self.p.k * self.width,)))
        self.builder = builder = PhaseBuilder([*slots, stage] if self.staged else slots)
        after = collapse(epilogue(self.workload), keep_last=True)
        self.evaluator = Evaluator(after, builder, anchor=0)
        m_block, n_block = self.knobs.m_block, self.knobs.n_block
        m_blocks, n_blocks = ceildiv(self.tiles, m_block), ceildiv(self.panels, n_block)
        batch = math.prod(self.p.batch)
        with builder.chunk_loop() as chunk:
            parts = self.form.parts(self.knobs) if batch == 1 else 1
            row, rest = place(builder, chunk, m_blocks, n_blocks, parts)
            self.tile0 = tile0 = builder.let(row * m_block)
            panel0 = builder.let(modulo(rest, n_blocks) * n_block)
            at = 0 if batch == 1 else builder.let(divide(rest, n_blocks))
            tiles = extent(tile0, m_block, self.tiles)
            panels = extent(panel0, n_block, self.panels)
            if self.knobs.order == "rows":
                with (
                    builder.loop(tiles, "tile", tile0) as tile,
                    builder.loop(panels, "panel", panel0) as panel,
                ):
                    self._blocks(at, tile, panel)
            else:
                with builder.loop(panels, "panel", panel0) as panel:
                    if self.staged:
                        self.stage(at, panel)
                    with builder.loop(tiles, "tile", tile0) as tile:
                        self._blocks(at, tile, panel)
        phase = builder.finish(batch * n_blocks * m_blocks)
        scratch = stage.tensor.nbytes if self.staged else 0
        return Emitted((phase,), self.packings, scratch=scratch)

    def stage(self, at: Index, panel: Index) -> None:
        """A panel of B, into scratch as constants are packed."""
        builder, p = self.builder, self.p
        for column0, columns in builder.block(panel, self.width, p.n):
            matrix = batch_offset(self.workload, p, p.b, at, p.n * p.k)
            if not p.transpose_b:
                self._stage_rows(builder.let(matrix + column0), columns)
                continue
            first = builder.let(matrix + column0 * p.k)
            for part, lanes in column_parts(columns, self.lanes):
                count = min(lanes, columns - part)
                rows = Rows(builder[f"in{p.b}"], first + part * p.k, p.k, count, p.k)

                def keep(k: Index, vector: Expr, part: int = part, lanes: int = lanes) -> None:
                    index = vector_index(k * self.width + part, lanes)
                    builder.store(builder["stage"], index, vector)

                load_columns(builder, rows, lanes, keep)

    def _stage_rows(self, first: Index, columns: int) -> None:
        builder, p = self.builder, self.p
        with builder.loop(p.k, "k") as k:
            for part, lanes in tail(0, columns, self.lanes):
                row = vector_index(first + k * p.n + part, lanes)
                vector = builder.load(builder[f"in{p.b}"], row)
                builder.store(builder["stage"], vector_index(k * self.width + part, lanes), vector)

    def _blocks(self, at: Index, tile: Index, panel: Index) -> None:
        """Full register tiles; the last rows and the last columns may be fewer."""
        ask = self._asks(panel, tile) if self.form.streams(self.knobs) else None
        for row0, rows in self.builder.block(tile, self.rows, self.p.m):
            for column0, columns in self.builder.block(panel, self.width, self.p.n):
                self._tile(at, (row0, rows), panel, (column0, columns), ask)

    def _asks(self, panel: Index, tile: Index) -> Ask:
        """Asks for weights in each pass of the reduction, by its first step: its share of the next
        panel, or what is a little ahead."""
        builder, p, unroll = self.builder, self.p, self.knobs.unroll
        weights, size = builder[f"in{p.b}"], p.k * self.width
        if not self.form.shares(self.knobs):
            first = builder.let(panel * size)
            return lambda k: ask_for(builder, weights, first + k * self.width, self.width * unroll)
        following, passes = builder.let((panel + 1) * size), p.k // unroll
        times = min(self.knobs.m_block, self.tiles) * passes
        share = ask_for_share(builder, weights, following, size, p.micro.b, times)
        done = builder.let((tile - self.tile0) * passes)
        return lambda k: share(done + divide(k, unroll))

    def _tile(
        self,
        at: Index,
        row_block: tuple[Index, int],
        panel: Index,
        column_block: tuple[Index, int],
        ask: Ask | None,
    ) -> None:
        (first, rows), (column0, columns) = row_block, column_block
        builder, p = self.builder, self.p
        padded = p.packed or p.staged
        parts = column_parts(columns, self.lanes) if padded else tail(0, columns, self.lanes)
        register = RegisterTile(builder, rows, parts, p.micro)
        row0 = builder.let(first)
        a0 = builder.let(batch_offset(self.workload, p, p.a, at, p.m * p.k) + row0 * p.k)
        self._reduce(register, at, a0, (panel, column0), ask)
        self._store(register, at, row0, column0, columns)

    def _reduce(
        self,
        register: RegisterTile,
        at: Index,
        a0: Index,
        panel: tuple[Index, Index],
        ask: Ask | None,
    ) -> None:
        """The loop over K; with ``ahead`` it asks for the lines of A that a later tile reads."""
        builder, p = self.builder, self.p

        def steps(first: Index, count: int) -> None:
            for begin, written in each_step(builder, count, self.knobs.unroll):
                if ask is not None:
                    ask(first + begin)
                for k in (first + step for step in written):
                    register.step(partial(self._a, a0, k), partial(self._b, at, panel, k))
                    if self.form.strides(self.knobs):
                        matrix = batch_offset(self.workload, p, p.b, at, p.n * p.k)
                        row = matrix + k * p.n + panel[1]
                        ask_for(builder, builder[f"in{p.b}"], row, self.width, _ROWS_AHEAD * p.n)

        if not self.knobs.ahead:
            steps(0, p.k)
            return
        a, full = builder[f"in{p.a}"], p.k // LINE
        with builder.loop(full, "line") as line:
            for row in range(register.rows):
                later = a0 + (self.knobs.ahead * self.rows + row) * p.k
                builder.prefetch(a, later + line * LINE)
            steps(line * LINE, LINE)
        if p.k % LINE:
            steps(full * LINE, p.k % LINE)

    def _a(self, first: Index, k: Index, row: int) -> Expr:
        """The scalar of A in a tile's ``row``, whose first row starts at ``first``."""
        return self.builder.load(self.builder[f"in{self.p.a}"], first + row * self.p.k + k)

    def _b(
        self, at: Index, place: tuple[Index, Index], k: Index, column: Index, lanes: int
    ) -> Expr:
        """A vector of row ``k`` of B, from ``column`` of the panel on, whose first is in place."""
        panel, column0 = place
        p, buffer = self.p, self.builder[f"in{self.p.b}"]
        if p.packed:
            index = (panel * p.k + k) * self.width + column
            return self.builder.load(buffer, vector_index(index, lanes))
        if self.staged:
            index = vector_index(k * self.width + column, lanes)
            return self.builder.load(self.builder["stage"], index)
        base = batch_offset(self.workload, p, p.b, at, p.n * p.k)
        first = column0 + column
        return self.builder.load(buffer, vector_index(base + k * p.n + first, lanes))

    def _store(
        self, register: RegisterTile, at: Index, row0: Index, column0: Index, columns: int
    ) -> None:
        p, builder = self.p, self.builder
        shape = self.evaluator.workload.output.shape
        first = 0 if self.panels == 1 else builder.let(column0)
        row_base = builder.let(at * p.m + row0)

        def store(row: int, column: Index, value: object) -> None:
            point = matrix_point(shape, p.n, row_base + row, first + column)
            self.evaluator.store(point, value)

        register.finish(columns, store)
