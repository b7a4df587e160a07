"""Which workloads are matrix products, the knobs of their kernels, and their loop nests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD, MicroKernel
from ...emit.tile import LINE, fits_registers
from ...ir.size import Size, at_least, at_most, fixed
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, Abilities, around
from ..form import Form
from ..fused import anchor_is_first, has_weights
from ..loops import Loops
from ..powers import ceil_power, floor_power, powers
from ..window import balanced_width

Order = Literal["rows", "panels"]
_FEW_ROWS = 256  # more of them take longer than the weights' way from memory


class Knobs(NamedTuple):
    """See ``Gemm.choices``."""

    rows: int
    vectors: int
    m_block: int
    n_block: int
    order: Order
    unroll: int
    ahead: int


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
    micro: MicroKernel = FLOAT32_MULTIPLY_ADD

    @property
    def staged(self) -> bool:
        """Whether panels of B are packed while the kernel runs."""
        return self.transpose_b and not self.packed


def product(workload: Workload) -> Product | None:
    """The workload as a matrix product; None where it is none that this template computes."""
    node = workload.nodes[0]
    if has_weights(workload, "conv2d") and is_pointwise(workload):
        n, h, w, c = workload.tensor(node.args[0]).shape
        return Product(node.args[0], node.args[1], (), n * h * w, node.out.shape[-1], c, True, True)
    return matrices(workload) if anchor_is_first(workload, "matmul") else None


def matrices(workload: Workload, micro: MicroKernel = FLOAT32_MULTIPLY_ADD) -> Product | None:
    """The product that comes first; None for one of vectors."""
    node = workload.nodes[0]
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
        return Product(node.args[0], node.args[1], (), m, n, k, transposed, constant, micro)
    return Product(node.args[0], node.args[1], batch, rows, n, k, transposed, False, micro)


def is_pointwise(workload: Workload) -> bool:
    """Whether the convolution that comes first is a product of pixels and weights."""
    node = workload.nodes[0]
    return (
        workload.tensor(node.args[1]).shape[1:3] == (1, 1)
        and node.attr("strides") == (1, 1)
        and node.attr("groups") == 1
        and not any(node.attr("pads"))
    )


@dataclass(frozen=True)
class Gemm(Form[Knobs]):
    """A float32 product with an elementwise epilogue."""

    product: Product

    name = "gemm"
    version = 2
    knobs_type = Knobs
    follows = True
    anchors = around(matmul=Abilities(writes_apart=True), conv2d=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Gemm | None:
        """Products of one size at least, with elementwise nodes after."""
        p = product(workload)
        return None if p is None or 0 in (p.m, p.n, p.k) else cls(workload, target, p)

    @cached_property
    def lanes(self) -> int:
        """Accumulators in a vector."""
        return self.target.lanes(self.product.micro.accumulator)

    @cached_property
    def columns(self) -> int:
        """Vectors that cover the columns."""
        return ceildiv(self.product.n, self.lanes)

    @property
    def vectors(self) -> tuple[int, ...]:
        """How many vectors a register tile may have."""
        widths = (v for v in (1, 2, 3, 4, 6, 8) if v <= self.columns)
        return tuple(v for v in widths if fits_registers(1, v, self.target))

    def choices(self) -> tuple[Knob, ...]:
        """The register tile, the blocks of a chunk, their order."""
        p = self.product
        rows = tuple(range(1, min(p.m, self.target.vector_registers - 2) + 1))
        orders = ("panels",) if p.staged else ("rows", "panels")
        return (
            Knob("rows", rows, "rows of the register tile"),
            Knob("vectors", self.vectors, "vectors of columns in the register tile"),
            Knob("m_block", powers(p.m, 14), "register tiles of rows in a chunk"),
            Knob("n_block", powers(self.columns, 14), "panels of columns in a chunk"),
            Knob("order", orders, "the outer loop inside a chunk"),
            Knob("unroll", (1, 2, 4, 8), "steps of the reduction written out"),
            Knob("ahead", (0, 1, 2) if p.k >= LINE else (0,), "tiles whose rows are prefetched"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers, and blocks are not twice what there is."""
        p = self.product
        return (
            fits_registers(knobs.rows, knobs.vectors, self.target)
            and knobs.m_block < 2 * ceildiv(p.m, knobs.rows)
            and knobs.n_block < 2 * ceildiv(p.n, knobs.vectors * self.lanes)
            and p.k % knobs.unroll == 0
        )

    def default(self) -> Knobs:
        """Fill the registers; the smaller matrix stays in cache while the larger streams once."""
        p, target = self.product, self.target

        def tile_rows(count: int) -> int:
            return balanced_width(p.m, max(1, (target.vector_registers - 1 - count) // count))

        def cost(count: int) -> tuple[float, float]:
            rows = tile_rows(count)
            columns = ceildiv(self.columns, count) * count / self.columns
            wasted = columns * ceildiv(p.m, rows) * rows / p.m
            chains = min(1.0, rows * count / target.isa.costs.sums)
            # A vector of a panel that is larger than L1 is loaded twice: from L2, and from L1.
            far = count if p.k * count * target.vector_bytes > target.l1 else 0
            return wasted * (1 + (count + rows + far) / (count * rows)) / chains, -count

        count = min(self.vectors, key=cost)
        rows = tile_rows(count)
        order, m_block, n_block = self._blocks(rows, count * self.lanes)
        unroll = self._unroll(rows * count)
        return Knobs(rows, count, m_block, n_block, order, unroll, self._ahead())

    def resized(self, knobs: Knobs) -> Knobs:
        """Of rows in a tile as many as leave the last one full; chunks as by default."""
        p = self.product
        if isinstance(p.k, Size):
            knobs = knobs._replace(unroll=1, ahead=0)
        if isinstance(p.n, Size):
            return self._with_open_columns(knobs)
        if not isinstance(p.m, Size):
            return knobs
        rows = fixed(ceildiv(p.m, ceildiv(p.m, knobs.rows)))
        order, m_block, n_block = self._open_blocks(ceildiv(p.m, rows), knobs)
        unroll = 1 if isinstance(p.k, Size) else self._unroll(rows * knobs.vectors)
        ahead = 0 if p.micro.a.nbytes(p.m * p.k) <= self.target.l2 // 2 else knobs.ahead
        return Knobs(rows, knobs.vectors, m_block, n_block, order, unroll, ahead)

    def _with_open_columns(self, knobs: Knobs) -> Knobs:
        """One vector wide, and few rows high, so that few kernels are for all sizes."""
        p = self.product
        rows = next(n for n in (4, 1) if n == 1 or p.m >= n)
        return knobs._replace(rows=rows, vectors=1, m_block=1, n_block=1, unroll=1, ahead=0)

    def streams(self, knobs: Knobs) -> bool:
        """Whether the weights' way to the processor counts: panels do not stay in L1, or there are
        too few rows to hide it.
        """
        p, l1 = self.product, self.target.l1
        if not p.packed or p.micro.b.nbytes(p.n * p.k) <= l1:
            return False
        few = isinstance(p.m, Size) or p.m <= _FEW_ROWS
        return few or 2 * p.k * knobs.vectors * self.target.vector_bytes > l1

    @cached_property
    def column_lanes(self) -> int:
        """Columns in a vector: fewer where there are fewer, of which not even the number is known
        at build time."""
        n = self.product.n
        if not isinstance(n, Size):
            return self.lanes
        return next(lanes for lanes in (self.lanes, 4, 1) if lanes == 1 or n >= lanes)

    def _open_blocks(self, tiles: int, knobs: Knobs) -> tuple[Order, int, int]:
        """As ``_blocks``, for a number of tiles that is known only at run time."""
        p, target = self.product, self.target
        panels = ceildiv(p.n, knobs.vectors * self.lanes)
        wanted, half = 8 * target.threads, target.l2 // 2
        if p.micro.b.nbytes(p.n * p.k) <= half:
            m_block = at_most(at_least(tiles * math.prod(p.batch) // wanted, 1), tiles)
            return "panels" if p.staged else "rows", m_block, panels
        if p.micro.a.nbytes(p.m * p.k) <= half and panels >= 2 * target.threads:
            return "panels", tiles, at_least(panels // wanted, 1)
        n_block = min(knobs.n_block, panels)
        m_block = at_least(at_most(tiles, tiles * ceildiv(panels, n_block) // wanted), 1)
        return "panels", m_block, n_block

    def _unroll(self, sums: int) -> int:
        """Written-out steps hide the loop, but LLVM loads vectors of all of them ahead."""
        if sums > self.target.vector_registers - 6:
            return 1
        return max(u for u in (1, 2, 4) if self.product.k % u == 0 and sums * u <= 64)

    def _ahead(self) -> int:
        """Rows that come from beyond L2 begin too often for the hardware to foresee them."""
        p = self.product
        if p.k < 2 * LINE or p.micro.a.nbytes(p.m * p.k) <= self.target.l2 // 2:
            return 0
        return 2 if p.k <= 8 * LINE else 1

    def _blocks(self, rows: int, width: int) -> tuple[Order, int, int]:
        """Order, register tiles and panels of a chunk, for about eight chunks a thread."""
        p, target = self.product, self.target
        panels, tiles = ceildiv(p.n, width), ceildiv(p.m, rows)
        wanted, half = 8 * target.threads, target.l2 // 2
        if p.micro.b.nbytes(p.n * p.k) <= half:
            m_block = floor_power(min(tiles, max(1, tiles * math.prod(p.batch) // wanted)))
            return "panels" if p.staged else "rows", m_block, ceil_power(panels)
        if p.micro.a.nbytes(p.m * p.k) <= half and panels >= 2 * target.threads:
            return "panels", ceil_power(tiles), floor_power(panels // wanted)
        # Both stream: a chunk's panels fit half of L2, and its rows the other half.
        n_block = floor_power(min(panels, half // p.micro.b.nbytes(p.k * width)))
        n_block = min(n_block, floor_power(panels // target.threads))
        m_block = floor_power(min(tiles, tiles * ceildiv(panels, n_block) // wanted))
        return "panels", m_block, n_block

    def loops(self, knobs: Knobs) -> Loops:
        """A step multiplies a row of a panel with a column of a tile."""
        p, target = self.product, self.target
        rows, vectors = knobs.rows, knobs.vectors
        tiles, panels = ceildiv(p.m, rows), ceildiv(p.n, vectors * self.lanes)
        high, wide = np.minimum(knobs.m_block, tiles), np.minimum(knobs.n_block, panels)
        batch = math.prod(p.batch)
        a = p.micro.a.nbytes(p.k * rows)  # of a tile's rows
        b = p.k * vectors * target.vector_bytes  # of a panel
        by_rows = knobs.order == "rows"
        return Loops(
            chunks=batch * ceildiv(tiles, high) * ceildiv(panels, wide),
            sums=rows * vectors,
            loads=rows + vectors,
            depth=p.k,
            steps=batch * tiles * panels * p.k,
            work=batch * p.m * panels * vectors * p.k,
            inner=a + b,
            kept=np.where(by_rows, a, b),
            streamed=batch * tiles * panels * np.where(by_rows, b, a),
            chunk=high * a + wide * b + high * rows * wide * vectors * target.vector_bytes,
            other=batch * panels * b / p.micro.b.bytes if p.staged else 0,
        )
