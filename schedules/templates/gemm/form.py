"""Which workloads are matrix products, the knobs of their kernels, and their loop nests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD
from ...emit.prefetch import AHEAD
from ...emit.steps import written_out
from ...emit.tile import LINE, fits_registers
from ...ir.dtype import DTYPES, FLOAT32
from ...ir.size import Size, at_least, at_most, fixed
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, Abilities, around
from ..form import Form
from ..loops import Loops
from ..powers import powers
from ..sets import CROWDED, crowd_l1, crowd_l2
from ..window import balanced_width
from .cut import Grid
from .product import Product, matrices, product

__all__ = ["Gemm", "Knobs", "Order", "Product", "matrices", "product"]

Order = Literal["rows", "panels", "copied"]
_COPIED = 3.0  # loads that copying a vector of a panel takes as long as,
_TRANSPOSED = 5.0  # and one that lies in columns
_FEW_TILES = 8  # that a copied panel does not pay for
_FROM_L2 = 16.0  # bytes a cycle, beyond which arithmetic waits
_NEARLY = 0.75
_LONG = 192  # bytes of a panel's row, which the hardware reads ahead in time
_FEWEST_ROWS = 4  # to which a panel of B is of little use
_PAGE, _LINE = 4096, FLOAT32.nbytes(LINE)  # bytes
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
        orders: tuple[Order, ...] = ("rows", "panels")
        if p.staged:
            orders = ("panels",)
        elif not p.packed and p.micro == FLOAT32_MULTIPLY_ADD:
            orders = ("rows", "panels", "copied")
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
        tiles = [(rows, vectors) for vectors in self.vectors for rows in self._heights(vectors)]
        rows, vectors = min(tiles, key=lambda tile: self._tile_cost(*tile))
        order, m_block, n_block = self._blocks(rows, vectors)
        unroll = written_out(rows * vectors, self.product.k, self.target)
        return Knobs(rows, vectors, m_block, n_block, order, unroll, self._ahead(rows, vectors))

    def _heights(self, vectors: int) -> tuple[int, ...]:
        """Rows of a tile so many vectors wide: as many as registers hold, and, where these rows
        push one another out of L1, as many as it holds."""
        p, target = self.product, self.target
        most = balanced_width(p.m, max(1, (target.vector_registers - 1 - vectors) // vectors))
        apart = p.micro.a.nbytes(p.k)
        if not crowd_l1(most, apart, target):
            return (most,)
        room = max(n for n in range(1, most) if n == 1 or not crowd_l1(n, apart, target))
        return most, balanced_width(p.m, room)

    def _tile_cost(self, rows: int, vectors: int) -> tuple[float, float]:
        """In proportion to the time of all register tiles of this size."""
        p, target = self.product, self.target
        columns = ceildiv(self.columns, vectors) * vectors / self.columns
        wasted = columns * ceildiv(p.m, rows) * rows / p.m
        chains = min(1.0, rows * vectors / target.costs.sums)
        # A vector of a panel that is larger than L1 is loaded twice: from L2, and from L1.
        far = vectors if p.k * vectors * target.vector_bytes > target.l1 else 0
        if crowd_l1(rows, p.micro.a.nbytes(p.k), target):
            far += CROWDED * rows
        return wasted * (1 + (vectors + rows + far) / (vectors * rows)) / chains, -vectors

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
        sums, open_k = rows * knobs.vectors, isinstance(p.k, Size)
        unroll = 1 if open_k else written_out(sums, p.k, self.target)
        ahead = 0 if p.micro.a.nbytes(p.m * p.k) <= self.target.l2 // 2 else knobs.ahead
        return Knobs(rows, knobs.vectors, m_block, n_block, order, unroll, ahead)

    def _with_open_columns(self, knobs: Knobs) -> Knobs:
        """One vector wide, and few rows high, so that few kernels are for all sizes."""
        p = self.product
        rows = next(n for n in (4, 1) if n == 1 or p.m >= n)
        order = "panels" if knobs.order == "copied" else knobs.order
        return Knobs(rows, 1, 1, 1, order, unroll=1, ahead=0)

    def streams(self, knobs: Knobs) -> bool:
        """Whether the weights' way to the processor counts: panels do not stay in L1, or there are
        too few rows to hide it.
        """
        p, l1 = self.product, self.target.l1
        if not p.packed or p.micro.b.nbytes(p.n * p.k) <= l1:
            return False
        if not isinstance(p.m, Size) and self._reaches(min(knobs.rows, p.m)):
            return False
        few = isinstance(p.m, Size) or p.m <= _FEW_ROWS
        return few or 2 * p.k * knobs.vectors * self.target.vector_bytes > l1

    def shares(self, knobs: Knobs) -> bool:
        """Whether tiles of a chunk are so many that one line, asked for in each pass of their
        reductions, brings the next panel, and L2 holds that beside all else."""
        p = self.product
        if knobs.order != "panels" or isinstance(p.m, Size) or isinstance(p.k, Size):
            return False
        high, wide = min(knobs.m_block, ceildiv(p.m, knobs.rows)), knobs.vectors * self.lanes
        each, panel = p.micro.b.nbytes(wide * knobs.unroll), p.micro.b.nbytes(wide * p.k)
        many = high >= _FEW_TILES and each <= high * _LINE
        return many and 4 * panel <= self.target.l2

    def _reaches(self, rows: int) -> bool:
        """Whether the processor begins loads of weights as far ahead as they would be asked for:
        with so few rows all that it has in flight are loads, nearly."""
        vectors = self.target.costs.window / (rows + 1)  # a load, and a multiply-add for each row
        return vectors * self.target.vector_bytes >= FLOAT32.nbytes(AHEAD)

    def strides(self, knobs: Knobs) -> bool:
        """Whether few rows read a B from beyond L2 that lies in rows, each in another page."""
        p = self.product
        if p.packed or p.staged or knobs.order == "copied" or isinstance(p.k, Size):
            return False
        if isinstance(p.n, Size) or isinstance(p.m, Size) or p.m > _FEWEST_ROWS:
            return False
        row = p.micro.b.nbytes(p.n)
        return 2 * row > _PAGE and row * p.k > self.target.l2

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

    def _ahead(self, rows: int, vectors: int) -> int:
        """Rows that come from beyond L2 begin too often for the hardware to foresee them. But where
        they lie so far apart that they share sets of L1, those of the next tile push out this
        one's; and beside a long panel they leave L1 again before they are used."""
        p, target = self.product, self.target
        every, apart = p.micro.a.nbytes(p.m * p.k), p.micro.a.nbytes(p.k)
        if p.k < 2 * LINE or every <= target.l2 // 2 or crowd_l1(2 * rows, apart, target):
            return 0
        panel = p.k * vectors * target.vector_bytes
        leave = panel + 2 * rows * apart >= target.l1
        if leave and target.costs.asked and every <= target.l3 // 2:  # not from memory
            return 0
        return 2 if p.k <= 8 * LINE else 1

    def _blocks(self, rows: int, vectors: int) -> tuple[Order, int, int]:
        """Order, register tiles and panels of a chunk."""
        target = self.target
        order = self._order(rows, vectors)
        return order, *self._grid(rows, vectors, order).cut(target, order == "rows")

    def parts(self, knobs: Knobs) -> int:
        """Of the rows, which threads share so; 1 where they share columns."""
        p = self.product
        if any(isinstance(extent, Size) for extent in (*p.batch, p.m, p.n, p.k)):
            return 1
        return self._grid(knobs.rows, knobs.vectors, knobs.order).parts(self.target)

    def _grid(self, rows: int, vectors: int, order: Order) -> Grid:
        """Of tiles of so many rows and vectors."""
        p, target, panel = self.product, self.target, self.product.k * vectors
        moved = (_TRANSPOSED if p.transpose_b else _COPIED) / target.costs.loads
        width, out = vectors * self.lanes, DTYPES[self.workload.output.dtype]
        return Grid(
            batch=math.prod(p.batch),
            tiles=ceildiv(p.m, rows),
            panels=ceildiv(p.n, width),
            work=p.k * self._cycles(rows * vectors),
            a=p.micro.a.nbytes(p.k * rows),
            b=panel * target.vector_bytes,
            copied=panel * moved if p.staged or order == "copied" else 0.0,
            constant=p.packed,
            lines=p.m if any(out.nbytes(count) % _LINE for count in (p.n, width)) else 0,
        )

    def _order(self, rows: int, vectors: int) -> Order:
        """Where B fits half of L2, rows stream by it; else panels are used one after the other. One
        that rows of a matrix make, and L1 does not hold, is copied for many tiles where its lines
        share sets of the caches, or come too slowly as they lie."""
        p, target = self.product, self.target
        small = p.micro.b.nbytes(p.n * p.k) <= target.l2 // 2
        if p.staged:
            return "panels"
        if p.packed or p.micro != FLOAT32_MULTIPLY_ADD:
            return "rows" if small else "panels"
        tiles, panel = ceildiv(p.m, rows), p.k * vectors * target.vector_bytes
        if tiles >= _FEW_TILES and crowd_l2(panel, p.micro.b.nbytes(p.n), target):
            return "copied"
        whole = self.columns <= vectors  # its lines follow one another
        pace = target.vector_bytes * target.costs.multiply_adds / rows  # bytes a cycle, from L2
        runs = vectors * target.vector_bytes >= _LONG and pace <= _NEARLY * _FROM_L2
        if tiles >= 2 * _FEW_TILES and panel > target.l1 // 2 and not (whole or runs):
            return "copied"
        again = pace > _FROM_L2 and p.micro.b.nbytes(p.n * p.k) > target.l1  # for each tile of rows
        if tiles >= _FEW_TILES and again and not whole:
            return "copied"
        return "rows" if small and panel <= target.l1 // 2 else "panels"

    def _cycles(self, sums: int) -> float:
        """Of a step of the reduction."""
        costs = self.target.costs
        return max(costs.latency, sums / costs.multiply_adds)

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
            other=batch * panels * b / p.micro.b.bytes * (p.staged | (knobs.order == "copied")),
        )
