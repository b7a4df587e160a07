"""Matrix products: C[M,N] = A[M,K] B[K,N], batched or not, and 1x1 convolutions, which are one.

A is read as it lies, one scalar per row and step. A constant B is packed as
[panel][K][panel width]; any other B is read in rows. The register tile is ``rows`` by ``vectors``.
A chunk is a block of rows by a block of panels; inside it either the panel stays and the rows
stream by, or the other way.

Knobs: ``rows``, ``vectors`` (the register tile), ``m_block`` (register tiles of rows in a chunk),
``n_block`` (panels in a chunk), ``order`` (the outer loop inside a chunk), ``unroll`` (steps of K
written out).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from tvm import tirx

from .emit import Expr, Index, PhaseBuilder, ceildiv, divide, modulo, split_index, tail
from .expr import Evaluator, Point
from .kernel import Array, Kernel, Packing
from .point import flatten
from .space import Config, Knob, Schedule, Space
from .target import Target
from .template import (
    Template,
    anchor_is_first,
    collapse,
    epilogue,
    finish_element,
    input_slots,
    loads,
    output_slot,
)
from .tile import RegisterTile, column_parts, fits_registers, vector_index
from .window import balanced_width
from .workload import Workload

NAME = "gemm"
VERSION = 2
_LINE = 16  # floats in a cache line


@dataclass(frozen=True)
class Product:
    """A workload seen as products of matrices; ``batch`` is empty where B has no batch."""

    a: int  # argument numbers
    b: int
    batch: tuple[int, ...]
    m: int
    n: int
    k: int
    transpose_b: bool
    packed: bool


def product(workload: Workload) -> Product | None:
    """The workload as a matrix product; None where it is none that this template computes."""
    node = workload.nodes[0]
    if node.out.dtype != "float32" or workload.output.dtype != "float32":
        return None
    if anchor_is_first(workload, "conv2d") and _is_pointwise_conv(workload):
        n, h, w, c = workload.tensor(node.args[0]).shape
        return Product(node.args[0], node.args[1], (), n * h * w, node.out.shape[-1], c, True, True)
    if not anchor_is_first(workload, "matmul"):
        return None
    a, b = (workload.tensor(x) for x in node.args)
    if len(a.shape) < 2 or len(b.shape) < 2:
        return None
    transposed = bool(node.attr("transpose_b", False))
    n = b.shape[-2] if transposed else b.shape[-1]
    k = a.shape[-1]
    rows = node.out.shape[-2]
    batch = node.out.shape[:-2]
    constant = workload.constants[node.args[1]]
    if all(d == 1 for d in b.shape[:-2]) and a.shape[:-1] == node.out.shape[:-1]:
        m = node.out.size // n if n else 0
        return Product(node.args[0], node.args[1], (), m, n, k, transposed, constant)
    return Product(node.args[0], node.args[1], batch, rows, n, k, transposed, False)


def _is_pointwise_conv(workload: Workload) -> bool:
    node = workload.nodes[0]
    return (
        workload.constants[node.args[1]]
        and workload.tensor(node.args[1]).shape[1:3] == (1, 1)
        and node.attr("strides") == (1, 1)
        and node.attr("groups") == 1
        and not any(node.attr("pads"))
    )


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 products with elementwise epilogues."""
    p = product(workload)
    if p is None or 0 in (p.m, p.n, p.k):
        return None
    widest = ceildiv(p.n, target.lanes)
    vectors = tuple(v for v in (1, 2, 3, 4, 6, 8) if v <= widest and fits_registers(1, v, target))
    rows = tuple(range(1, min(p.m, target.vector_registers - 2) + 1))
    knobs = (
        Knob("rows", rows, "rows of the register tile"),
        Knob("vectors", vectors, "vectors of columns in the register tile"),
        Knob("m_block", _powers(p.m), "register tiles of rows in a chunk"),
        Knob("n_block", _powers(ceildiv(p.n, target.lanes)), "panels of columns in a chunk"),
        Knob("order", ("rows", "panels"), "the outer loop inside a chunk"),
        Knob("unroll", (1, 2, 4, 8), "steps of the reduction written out"),
        Knob("ahead", (0, 1, 2) if p.k >= _LINE else (0,), "tiles whose rows are prefetched"),
    )

    def valid(config: Config) -> bool:
        r, v = int(config["rows"]), int(config["vectors"])
        return (
            fits_registers(r, v, target)
            and int(config["m_block"]) < 2 * ceildiv(p.m, r)
            and int(config["n_block"]) < 2 * ceildiv(p.n, v * target.lanes)
            and p.k % int(config["unroll"]) == 0
        )

    return Space(NAME, VERSION, knobs, _default(p, target, vectors), valid)


def _powers(limit: int) -> tuple[int, ...]:
    return tuple(2**i for i in range(14) if 2**i < 2 * limit)


def _floor_power(value: int) -> int:
    return int(2 ** (max(1, value).bit_length() - 1))


def _default(p: Product, target: Target, vectors: tuple[int, ...]) -> dict[str, int | str]:
    """Fill the registers; let the smaller matrix stay in cache while the larger streams once."""
    columns = ceildiv(p.n, target.lanes)

    def tile_rows(count: int) -> int:
        return balanced_width(p.m, max(1, (target.vector_registers - 1 - count) // count))

    def cost(count: int) -> tuple[float, float]:
        rows = tile_rows(count)
        wasted = ceildiv(columns, count) * count / columns * ceildiv(p.m, rows) * rows / p.m
        chains = min(1.0, rows * count / 8)  # fewer sums than a multiply-add's latency stall it
        return wasted * (1 + (count + rows) / (count * rows)) / chains, -count

    count = min(vectors, key=cost)
    rows = tile_rows(count)
    panels, tiles = ceildiv(p.n, count * target.lanes), ceildiv(p.m, rows)
    order, m_block, n_block = _blocks(p, target, tiles, panels, rows, count * target.lanes)
    return {
        "rows": rows,
        "vectors": count,
        "m_block": m_block,
        "n_block": n_block,
        "order": order,
        "unroll": _unroll(p, rows * count, target),
        "ahead": _ahead(p, target),
    }


def _unroll(p: Product, sums: int, target: Target) -> int:
    """Written-out steps hide the loop, but LLVM loads both steps' vectors before it needs them."""
    if sums > target.vector_registers - 6:
        return 1
    return max(u for u in (1, 2, 4) if p.k % u == 0 and sums * u <= 64)


def _ahead(p: Product, target: Target) -> int:
    """Rows that come from beyond L2 begin too often for the hardware to foresee them."""
    if p.k < 2 * _LINE or p.m * p.k * 4 <= target.l2 // 2:
        return 0
    return 2 if p.k <= 8 * _LINE else 1


def _blocks(
    p: Product, target: Target, tiles: int, panels: int, rows: int, width: int
) -> tuple[str, int, int]:
    """Order, register tiles and panels of a chunk, for about eight chunks a thread."""
    wanted = 8 * target.threads
    all_panels, all_tiles = _ceil_power(panels), _ceil_power(tiles)
    batch = int(np.prod(p.batch)) if p.batch else 1
    if p.n * p.k * 4 <= target.l2 // 2:
        m_block = _floor_power(min(tiles, max(1, tiles * batch // wanted)))
        return "rows", m_block, all_panels
    if p.m * p.k * 4 <= target.l2 // 2 and panels >= 2 * target.threads:
        return "panels", all_tiles, _floor_power(max(1, panels // wanted))
    # Both stream: a chunk's panels fit half of L2, and its rows the other half.
    n_block = _floor_power(max(1, min(panels, target.l2 // 2 // (p.k * 4 * width))))
    n_block = min(n_block, _floor_power(max(1, panels // target.threads)))
    m_block = _floor_power(max(1, min(tiles, tiles * ceildiv(panels, n_block) // wanted)))
    return "panels", m_block, n_block


def _ceil_power(value: int) -> int:
    return int(2 ** (max(1, value) - 1).bit_length())


def pack_matrix(array: Array, p: Product, width: int) -> Array:
    """B to [panel][K][width], zeros behind the last column."""
    matrix = array.reshape(p.n, p.k).T if p.transpose_b else array.reshape(p.k, p.n)
    panels = ceildiv(p.n, width)
    padded = np.zeros((p.k, panels * width), array.dtype)
    padded[:, : p.n] = matrix
    return np.ascontiguousarray(padded.reshape(p.k, panels, width).transpose(1, 0, 2))


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase; chunks are (batch, block of panels, block of rows)."""
    p = product(workload)
    assert p is not None
    return _Gemm(workload, p, target, schedule).build()


class _Gemm:
    """The numbers of one product, and the loop nest over them."""

    def __init__(self, workload: Workload, p: Product, target: Target, schedule: Schedule) -> None:
        self.workload, self.p, self.schedule = workload, p, schedule
        self.lanes = target.lanes
        self.rows = int(schedule["rows"])
        self.width = int(schedule["vectors"]) * target.lanes
        self.panels, self.tiles = ceildiv(p.n, self.width), ceildiv(p.m, self.rows)
        self.unroll, self.ahead = int(schedule["unroll"]), int(schedule["ahead"])
        packing = Packing((self.panels, p.k, self.width), lambda b: pack_matrix(b, p, self.width))
        self.packings = tuple(
            packing if p.packed and i == p.b else None for i in range(len(workload.inputs))
        )

    def build(self) -> Kernel:
        """The kernel."""
        slots = [*input_slots(self.workload, self.packings), output_slot(self.workload)]
        self.builder = builder = PhaseBuilder(slots)
        after = collapse(epilogue(self.workload), keep_last=True)
        self.evaluator = Evaluator(after, builder, loads(builder, after, shift=1))
        m_block, n_block = int(self.schedule["m_block"]), int(self.schedule["n_block"])
        m_blocks, n_blocks = ceildiv(self.tiles, m_block), ceildiv(self.panels, n_block)
        batch = int(np.prod(self.p.batch)) if self.p.batch else 1
        with builder.chunk_loop() as chunk:
            tile0 = builder.bind(modulo(chunk, m_blocks) * m_block)
            rest = divide(chunk, m_blocks)
            panel0 = builder.bind(modulo(rest, n_blocks) * n_block)
            at = builder.bind(divide(rest, n_blocks)) if batch > 1 else 0
            tiles = _extent(tile0, m_block, self.tiles)
            panels = _extent(panel0, n_block, self.panels)
            if self.schedule["order"] == "rows":
                with (
                    builder.loop(tiles, "tile", tile0) as tile,
                    builder.loop(panels, "panel", panel0) as panel,
                ):
                    self._rows(at, tile, panel)
            else:
                with (
                    builder.loop(panels, "panel", panel0) as panel,
                    builder.loop(tiles, "tile", tile0) as tile,
                ):
                    self._rows(at, tile, panel)
        phase = builder.finish(batch * n_blocks * m_blocks)
        return Kernel(self.workload, self.schedule, (phase,), self.packings)

    def _rows(self, at: Index, tile: Index, panel: Index) -> None:
        """Full register tiles, and the last one, which may have fewer rows."""
        rest = self.p.m - (self.tiles - 1) * self.rows
        if rest == self.rows or self.tiles == 1:
            self._columns(at, tile, panel, rest if self.tiles == 1 else self.rows)
            return
        with self.builder.when(tile < self.tiles - 1):
            self._columns(at, tile, panel, self.rows)
        with self.builder.when(tile == self.tiles - 1):
            self._columns(at, tile, panel, rest)

    def _columns(self, at: Index, tile: Index, panel: Index, rows: int) -> None:
        """Full panels, and the last one, which may have fewer columns."""
        rest = self.p.n - (self.panels - 1) * self.width
        if rest == self.width or self.panels == 1:
            self._tile(at, tile, panel, rows, rest if self.panels == 1 else self.width)
            return
        with self.builder.when(panel < self.panels - 1):
            self._tile(at, tile, panel, rows, self.width)
        with self.builder.when(panel == self.panels - 1):
            self._tile(at, tile, panel, rows, rest)

    def _tile(self, at: Index, tile: Index, panel: Index, rows: int, columns: int) -> None:
        builder, p = self.builder, self.p
        parts = column_parts(columns, self.lanes) if p.packed else tail(0, columns, self.lanes)
        register = RegisterTile(builder, rows, parts)
        row0 = builder.bind(tile * self.rows)
        a0 = builder.bind(self._batch_offset(p.a, at, p.m * p.k) + row0 * p.k)
        self._reduce(register, at, a0, panel)
        self._store(register, at, row0, panel, columns)

    def _reduce(self, register: RegisterTile, at: Index, a0: Index, panel: Index) -> None:
        """The loop over K; with ``ahead`` it asks for the lines of A that a later tile reads."""
        builder, p = self.builder, self.p

        def steps(first: Index, count: int) -> None:
            with builder.loop(count // self.unroll, "k") as block:
                for u in range(self.unroll):
                    k = first + block * self.unroll + u
                    register.step(partial(self._a, a0, k), partial(self._b, at, panel, k))

        if not self.ahead:
            steps(0, p.k)
            return
        a, full = builder[f"in{p.a}"], p.k // _LINE
        with builder.loop(full, "line") as line:
            for row in range(register.rows):
                later = a0 + (self.ahead * self.rows + row) * p.k
                builder.prefetch(a, later + line * _LINE)
            steps(line * _LINE, _LINE)
        if p.k % _LINE:
            steps(full * _LINE, p.k % _LINE)

    def _a(self, first: Index, k: Index, row: int) -> Expr:
        """The scalar of A in a tile's ``row``, whose first row starts at ``first``."""
        return self.builder.load(self.builder[f"in{self.p.a}"], first + row * self.p.k + k)

    def _b(self, at: Index, panel: Index, k: Index, column: Index, lanes: int) -> Expr:
        """A vector of row ``k`` of B."""
        p, buffer = self.p, self.builder[f"in{self.p.b}"]
        if p.packed:
            index = (panel * p.k + k) * self.width + column
            return self.builder.load(buffer, vector_index(index, lanes))
        base = self._batch_offset(p.b, at, p.n * p.k)
        first = panel * self.width + column
        if p.transpose_b:
            index = base + first * p.k + k
            index = index if lanes == 1 else tirx.Ramp(index, p.k, lanes)
            return self.builder.load(buffer, index)
        return self.builder.load(buffer, vector_index(base + k * p.n + first, lanes))

    def _batch_offset(self, arg: int, at: Index, size: int) -> Index:
        """Where the matrix of batch ``at`` starts in an operand, which may broadcast."""
        if not self.p.batch:
            return 0
        shape = self.workload.tensor(arg).shape[:-2]
        if shape == self.p.batch:
            return at * size
        coords = split_index(at, self.p.batch)[len(self.p.batch) - len(shape) :]
        chosen = tuple(0 if d == 1 else c for c, d in zip(coords, shape, strict=True))
        return flatten(chosen, shape) * size

    def _store(
        self, register: RegisterTile, at: Index, row0: Index, panel: Index, columns: int
    ) -> None:
        p, builder = self.p, self.builder
        shape = self.evaluator.workload.output.shape
        first = builder.bind(panel * self.width) if self.panels > 1 else 0
        row_base = builder.bind(at * p.m + row0)

        def store(row: int, column: Index, value: object) -> None:
            m, n = row_base + row, first + column
            flat = m * p.n + n
            self.evaluator.forget()
            self.evaluator.sources[0] = lambda point: value
            point = Point(shape, (*split_index(m, shape[:-1]), n), flat)
            builder.store(builder["out"], flat, finish_element(self.evaluator, point))

        register.finish(columns, store)


def _extent(first: Index, block: int, total: int) -> Index:
    return block if total % block == 0 else tirx.min(block, total - first)


TEMPLATE = Template(NAME, space, kernel)
