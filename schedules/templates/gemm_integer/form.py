"""Which workloads are matrix products of whole numbers of 8 or 16 bits, the knobs of their kernels,
and their loop nests."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from ...emit import crossed_pairs
from ...emit.dot_product import DotProduct
from ...emit.dot_products import (
    INT16,
    Layout,
    instruction,
    layouts,
    lifting,
    multiplies,
    packing,
)
from ...emit.whole_tiles import tile_layouts, tile_product
from ...ir.dtype import INT32, DType
from ...ir.size import Size, at_least, at_most, fixed
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import OF_WHOLE, Abilities, around
from ..form import Form
from ..fused import leads
from ..gemm.form import Order
from ..gemm.product import Product, is_pointwise, matrices
from ..loops import Loops
from ..powers import ceil_power, powers
from ..window import balanced_width
from .cycles import tile_cycles
from .loop_nests import loop_nests

STAGED: tuple[Layout, ...] = ("widened", "crossed")  # once, panel by panel
_ENOUGH_TILES = 4  # that use a number after it is widened
# Beside a multiply-add of as many numbers: to bring them into scratch, and from beyond L2.
_STAGED, _FETCHED = 1.2, 2.0
_CROSSED = 3.0  # the first, with its part in what sums start from
_AGAIN = 0.05  # where each tile of rows brings panels from L2 again, which chunks share else
_BEGUN = 700.0  # multiply-adds, as long as a chunk takes to begin
_TAIL = 0.2  # of a chunk, by which a thread ends later than another
_MANY_COLUMNS = 128  # for which a number is better lifted once
_MOST_PARTS = 16  # of a reduction
_LONG = 256  # rows, after whose products little is stored; measured on Zen 4


class Knobs(NamedTuple):
    """See ``IntegerGemm.choices``."""

    rows: int
    vectors: int
    m_block: int
    n_block: int
    order: Order
    unroll: int
    weights: Layout
    k_parts: int


@dataclass(frozen=True)
class IntegerGemm(Form[Knobs]):
    """A product of narrow whole numbers with sums in int32, and an elementwise epilogue."""

    product: Product

    name = "gemm_integer"
    version = 4
    knobs_type = Knobs
    follows = True
    anchors = around(
        matmul_integer=Abilities(converts=True, any_type=True), conv2d_integer=OF_WHOLE
    )

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerGemm | None:
        """Products of one size at least, whose B lies in rows or is constant."""
        p = whole_product(workload)
        if p is None or 0 in (p.m, p.n, p.k) or p.staged:
            return None
        types = (workload.tensor(x).element for x in (p.a, p.b))
        return cls(workload, target, p) if multiplies(*types) else None

    @cached_property
    def types(self) -> tuple[DType, DType]:
        """Of both operands."""
        a, b = (self.workload.tensor(x).element for x in (self.product.a, self.product.b))
        return a, b

    @cached_property
    def lanes(self) -> int:
        """Sums in a vector."""
        return self.target.lanes(INT32)

    @property
    def is_open(self) -> bool:
        """Whether columns or depth are known only at run time: B is then read as it lies."""
        return isinstance(self.product.n, Size) or isinstance(self.product.k, Size)

    @cached_property
    def layouts(self) -> tuple[Layout, ...]:
        """How B may lie where it is multiplied."""
        found = layouts(*self.types, self.target)
        if not self.product.packed and found != ("fours",):
            found = ("words",)
        if self.is_open:
            return found
        if "widened" in found and crossed_pairs.crosses(self.types[0], self.product.k, self.target):
            found = (*found, "crossed")
        return (*tile_layouts(*self.types, self.target), *found)

    def micro(self, layout: Layout) -> DotProduct:
        """What multiplies where B lies so."""
        if layout == "tiles":
            return self.packing(layout)
        if layout == "crossed":
            return crossed_pairs.crossed(self.lanes)
        a, b = self.types
        found = instruction(a, b if self.product.packed else INT16, self.target, layout)
        whole = not isinstance(self.product.k, Size) and self.product.k % found.steps == 0
        return lifting(found, self.lanes) if found.lifted and whole and self._is_beside else found

    @property
    def _is_beside(self) -> bool:
        """Whether signed numbers are lifted in registers: other operations start beside products,
        which what is stored needs after short rows where there is room for one alone; or there are
        few columns that read a number again."""
        costs = self.target.costs
        if costs.has_room:
            room = costs.operations - costs.multiply_adds
            return room > 1 or self.product.k >= _LONG
        return self.product.n < _MANY_COLUMNS

    def packing(self, layout: Layout) -> DotProduct:
        """The same of what is packed."""
        if layout == "tiles":
            return tile_product(*self.types, self.product.k)
        if layout == "crossed":
            return replace(packing(*self.types, self.target, "bytes"), groups=2)
        return packing(*self.types, self.target, layout)

    @cached_property
    def columns(self) -> int:
        """Vectors that cover the columns."""
        return ceildiv(self.product.n, self.lanes)

    @property
    def vectors(self) -> tuple[int, ...]:
        """How many vectors a register tile may have."""
        return tuple(v for v in (1, 2, 3, 4, 6, 8) if v <= self.columns)

    def choices(self) -> tuple[Knob, ...]:
        """The register tile, the blocks of a chunk, their order, how packed numbers lie."""
        p = self.product
        most = self.micro(self.layouts[0]).most_rows(1, self.target)
        rows = tuple(range(1, min(p.m, max(most, self.target.vector_registers - 3)) + 1))
        orders = ("rows", "panels") if p.packed else ("panels",)
        staged = () if self.is_open else set(STAGED) & set(self.layouts)
        parts = min(_MOST_PARTS, max(map(self.depth, staged), default=1))
        return (
            Knob("rows", rows, "rows of the register tile"),
            Knob("vectors", self.vectors, "vectors of columns in the register tile"),
            Knob("m_block", powers(p.m, 14), "register tiles of rows in a chunk"),
            Knob("n_block", powers(self.columns, 14), "panels of columns in a chunk"),
            Knob("order", orders, "the outer loop inside a chunk"),
            Knob("unroll", (1, 2, 4), "steps of the reduction written out"),
            Knob("weights", self.layouts, "how packed numbers lie"),
            Knob("k_parts", powers(parts, 14), "parts of the reduction"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers, and blocks and parts are not twice what there is."""
        p = self.product
        return (
            self.micro(knobs.weights).fits(knobs.rows, knobs.vectors, self.target)
            and (knobs.weights not in STAGED or knobs.order == "panels")
            and knobs.m_block < 2 * ceildiv(p.m, knobs.rows)
            and knobs.n_block < 2 * ceildiv(p.n, knobs.vectors * self.lanes)
            and self.depth(knobs.weights) % knobs.unroll == 0
            and (knobs.k_parts == 1 or knobs.weights in STAGED)
            and knobs.k_parts < 2 * self.depth(knobs.weights)
        )

    def depth(self, layout: Layout) -> int:
        """Steps of the reduction."""
        micro = self.micro(layout)
        return ceildiv(self.product.k, micro.steps * micro.groups)

    def default(self) -> Knobs:
        """The tile and the blocks that take fewest cycles."""
        p = self.product
        usual = self.layouts[: 1 + (self.layouts[0] == "tiles")]
        chosen = {layout: self._tile(layout) for layout in usual}
        layout = min(usual, key=lambda layout: self._taken(*chosen[layout], layout))
        rows, count = chosen[layout]
        if layout == "bytes" and ceildiv(p.m, rows) >= _ENOUGH_TILES:
            staged = {each: self._tile(each) for each in STAGED if each in self.layouts}
            layout = min(staged, key=lambda each: self._taken(*staged[each], each))
            rows, count = staged[layout]
        m_block, n_block = self._blocks(rows, count * self.lanes, layout)
        unroll = max(u for u in (1, 2) if self.depth(layout) % u == 0)
        order: Order = "rows" if layout == "tiles" and p.packed else "panels"
        parts = self._k_parts(count * self.lanes, layout)
        return Knobs(rows, count, m_block, n_block, order, unroll, layout, parts)

    def _k_parts(self, width: int, layout: Layout) -> int:
        """Parts of the reduction: of a long one each widened panel is half of what L1 holds."""
        if self.is_open or layout not in STAGED:
            return 1
        panel = self.micro(layout).b.nbytes(self.product.k * width)
        if panel < self.target.l1:
            return 1
        return min(_MOST_PARTS, ceil_power(ceildiv(2 * panel, self.target.l1)))

    def _tile(self, layout: Layout) -> tuple[int, int]:
        """Rows and vectors of the register tile."""
        micro = self.micro(layout)
        fitting = [
            (balanced_width(self.product.m, rows), count)
            for count in self.vectors
            if micro.fits(1, count, self.target)
            for rows in range(1, micro.most_rows(count, self.target) + 1)
        ]

        def cost(tile: tuple[int, int]) -> tuple[float, int]:
            return self._taken(*tile, layout), -tile[1]

        return min(dict.fromkeys(fitting), key=cost)

    def _taken(self, rows: int, count: int, layout: Layout) -> float:
        """Cycles of all tiles of so many rows and vectors."""
        high, wide = self._parts(self.product.m, rows), self._parts(self.columns, count)
        return sum(
            tile_cycles(self, (r, c), count, layout) * m * n for r, m in high for c, n in wide
        )

    @staticmethod
    def _parts(total: int, size: int) -> list[tuple[int, int]]:
        """(size, how many) of the parts of a total: full ones, and the rest."""
        full, rest = divmod(total, size)
        return [(size, full), *([(rest, 1)] if rest else [])]

    def gathers(self, layout: Layout) -> bool:
        """Whether A does not lie as the instruction reads it."""
        micro = self.micro(layout)
        return self.types[0] != micro.a or self.product.k % (micro.steps * micro.groups) != 0

    def _blocks(self, rows: int, width: int, layout: Layout) -> tuple[int, int]:
        """Register tiles and panels of a chunk: so many that operands are not brought near too
        often, and that all threads have enough chunks."""
        p, threads, half = self.product, self.target.threads, self.target.l2 // 2
        panels, tiles, batch = ceildiv(p.n, width), ceildiv(p.m, rows), math.prod(p.batch)
        stages = layout in STAGED or not p.packed
        a, b = (t.nbytes(n * p.k) > half for t, n in zip(self.types, (p.m, p.n), strict=True))
        pace, begun = self.micro(layout).pace, _BEGUN + self.micro(layout).ended
        staged = _CROSSED if layout == "crossed" else _STAGED
        again = pace * (staged * stages + _FETCHED * b)  # for a number of B, by a chunk
        apart = pace * (staged * self.gathers(layout) + _FETCHED * a)
        parts = self._k_parts(width, layout)
        part = ceildiv(p.k, parts)
        panel = self.micro(layout).b.nbytes(part * width)

        def cost(blocks: tuple[int, int]) -> tuple[bool, float]:
            high, wide = min(blocks[0], tiles), min(blocks[1], panels)
            chunks = batch * ceildiv(tiles, high) * ceildiv(panels, wide)
            uneven = ceildiv(chunks, threads) * threads / chunks
            near = 1 + again / (high * rows) + apart / (wide * width)
            near += begun / (high * rows * wide * width * p.k)
            near += _AGAIN * (high < tiles and wide > 1 and wide * panel > self.target.l1)
            kept = self.micro(layout).a.nbytes(high * rows * part)
            if parts > 1:
                kept += INT32.nbytes(high * rows * wide * width)
            large = (high > 1 or parts > 1) and kept > half
            return large, uneven * near + _TAIL * threads / chunks

        return min(itertools.product(powers(tiles, 14), powers(panels, 14)), key=cost)

    def resized(self, knobs: Knobs) -> Knobs:
        """Of rows in a tile as many as leave the last one full; chunks as by default."""
        p = self.product
        if self.is_open or not isinstance(p.m, Size):
            return knobs
        rows = fixed(ceildiv(p.m, ceildiv(p.m, knobs.rows)))
        tiles = ceildiv(p.m, rows)
        panels = ceildiv(p.n, knobs.vectors * self.lanes)
        wanted = 8 * self.target.threads
        part = ceildiv(p.k, knobs.k_parts)
        most = max(1, self.target.l2 // 2 // self.micro(knobs.weights).a.nbytes(part * rows))
        each = tiles * math.prod(p.batch) * ceildiv(panels, knobs.n_block) // wanted
        m_block = at_most(at_least(each, 1), min(most, knobs.m_block))
        return knobs._replace(rows=rows, m_block=m_block)

    def streams(self, knobs: Knobs) -> bool:
        """Whether the weights' way to the processor counts: they do not stay in L1."""
        p, micro = self.product, self.micro(knobs.weights)
        return p.packed and micro.b.nbytes(p.n * p.k) > self.target.l1

    @property
    def fetches(self) -> bool:
        """Whether rows of A come from beyond L2."""
        p = self.product
        known = not isinstance(p.m, Size)
        return known and self.types[0].nbytes(p.m * p.k) > self.target.l2 // 2

    def loops(self, knobs: Knobs) -> Loops:
        """A step multiplies groups of a panel with groups of a tile."""
        return loop_nests(self, knobs)


def whole_product(workload: Workload) -> Product | None:
    """The workload as a matrix product; None where it is none of whole numbers."""
    node = workload.nodes[0]
    if leads(workload, "conv2d_integer"):
        if not (workload.constants[node.args[1]] and is_pointwise(workload)):
            return None
        n, h, w, c = workload.tensor(node.args[0]).shape
        return Product(node.args[0], node.args[1], (), n * h * w, node.out.shape[-1], c, True, True)
    return matrices(workload) if leads(workload, "matmul_integer") else None
