"""Which products may be computed in bfloat16, and what is chosen without measuring."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from ...emit.bfloat16 import BITS, bfloat16_layouts, bfloat16_product
from ...emit.dot_product import DotProduct
from ...emit.dot_products import Layout
from ...ir.dtype import FLOAT32, DType
from ...ir.size import Size
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, Abilities, around
from ..few_bits.form import few_bits_product
from ..gemm.product import Product, product
from ..gemm_integer.form import IntegerGemm
from ..powers import powers
from ..rounding import (
    FETCHED,
    ROUNDED,
    Rounding,
    chunks_cycles,
    held,
    in_float32,
    may_round,
    tile_cycles,
)
from ..window import balanced_width

_LINE = 64  # bytes of a cache line


@dataclass(frozen=True)
class Bfloat16Gemm(Rounding, IntegerGemm):
    """A product of float32 whose operands are rounded to bfloat16, and an elementwise epilogue.

    Knobs and loop nests are those of whole numbers.
    """

    name = "gemm_bfloat16"
    version = 3
    anchors = around(matmul=Abilities(writes_apart=True), conv2d=WEIGHED, matmul_few_bits=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Gemm | None:
        """Of columns and depth that are known at build time, where operands may be rounded."""
        if not may_round(workload, target) or not bfloat16_layouts(target):
            return None
        wide = in_float32(workload)
        p = product(wide) or _of_codes(wide)
        if p is None or 0 in (p.m, p.n, p.k) or any(isinstance(n, Size) for n in (p.n, p.k)):
            return None
        return cls(workload, target, p)

    def micro(self, layout: Layout) -> DotProduct:
        """What multiplies."""
        return bfloat16_product(layout, self.product.k)

    @property
    def types(self) -> tuple[DType, DType]:
        """Of both operands as they lie in memory; B is never there in bfloat16 but for codes."""
        return held(self.workload.tensor(self.product.a)), FLOAT32

    def gathers(self, layout: Layout) -> bool:
        """Floats are rounded into scratch, and rows copied there that crowd in few sets of L1, or
        are read as whole tiles."""
        return super().gathers(layout) or layout == "tiles" or self._crowd(layout)

    def _crowd(self, layout: Layout) -> bool:
        """Whether lines of a tile's rows take more than half of the ways of the sets they are in:
        those of B pass through all sets."""
        page = self.target.l1 // self.target.l1_ways
        sets = min(page // math.gcd(BITS.nbytes(self.product.k), page), page // _LINE)
        rows = min(self.micro(layout).most_rows(2, self.target), self.product.m)
        return 2 * ceildiv(rows, sets) > self.target.l1_ways

    def _tile(self, layout: Layout) -> tuple[int, int]:
        """Rows and vectors of the register tile that take the fewest cycles."""
        micro = self.micro(layout)

        def height(count: int) -> int:
            return balanced_width(self.product.m, micro.most_rows(count, self.target))

        def cost(count: int) -> tuple[float, int]:
            return self._taken(height(count), count, layout), -count

        count = min((v for v in self.vectors if micro.fits(1, v, self.target)), key=cost)
        return height(count), count

    def _taken(self, rows: int, count: int, layout: Layout) -> float:
        """Cycles of all tiles of so many rows and vectors."""
        tiles = ceildiv(self.columns, count) * ceildiv(self.product.m, rows)
        return float(tiles * self._tile_cycles(rows, count, layout))

    def _tile_cycles(self, rows: int, count: int, layout: Layout) -> float:
        """Of a tile."""
        return tile_cycles(self.micro(layout), self.depth(layout), rows, count, self.target)

    def _blocks(self, rows: int, width: int, layout: Layout) -> tuple[int, int]:
        """Register tiles and panels of a chunk: rows are rounded by each chunk that reads them, and
        so are columns that are not packed."""
        p, half, a = self.product, self.target.l2 // 2, self.types[0]
        panels, tiles, batch = ceildiv(p.n, width), ceildiv(p.m, rows), math.prod(p.batch)
        tile = self._tile_cycles(rows, width // self.lanes, layout)
        brought = ROUNDED * a.bytes / FLOAT32.bytes * self.gathers(layout)
        row = p.k * (brought + a.bytes * FETCHED * (a.nbytes(p.m * p.k) > half))
        column = p.k * (0 if p.packed else ROUNDED)
        column += BITS.nbytes(p.k) * FETCHED * (BITS.nbytes(p.n * p.k) > half)

        def cost(blocks: tuple[int, int]) -> tuple[bool, float]:
            high, wide = min(blocks[0], tiles), min(blocks[1], panels)
            chunks = batch * ceildiv(tiles, high) * ceildiv(panels, wide)
            each = high * wide * tile + high * rows * row + wide * width * column
            large = high > 1 and BITS.nbytes(high * rows * p.k) > half
            return large, chunks_cycles(chunks, each, self.target)

        return min(itertools.product(powers(tiles, 14), powers(panels, 14)), key=cost)


def _of_codes(workload: Workload) -> Product | None:
    """With a matrix in bfloat16, [n, k]."""
    p = few_bits_product(workload)
    if p is None or p.dtype != "bfloat16":
        return None
    return Product(p.a, p.codes, (), p.m, p.n, p.k, transpose_b=True, packed=True)
