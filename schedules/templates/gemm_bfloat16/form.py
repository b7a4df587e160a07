"""Which products may be computed in bfloat16, and what is chosen without measuring."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from ...emit.bfloat16 import PAIRS, cycles, multiplies_bfloat16, tile_rows
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
from ..rounding import may_round
from ..window import balanced_width

# Cycles: to begin and end a tile, and to store a vector of it; to fetch a byte from beyond L2; to
# round an element into scratch; to claim and begin a chunk.
_AROUND, _STORED = 30.0, 2.0
_FETCHED = 1 / 16
_ROUNDED = 0.1
_CHUNK = 250.0


@dataclass(frozen=True)
class Bfloat16Gemm(IntegerGemm):
    """A product of float32 whose operands are rounded to bfloat16, and an elementwise epilogue.

    Knobs and loop nests are those of whole numbers in pairs.
    """

    name = "gemm_bfloat16"
    version = 1
    anchors = around(matmul=Abilities(writes_apart=True), conv2d=WEIGHED, matmul_few_bits=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Gemm | None:
        """Of columns and depth that are known at build time, where operands may be rounded."""
        if not may_round(workload, target) or not multiplies_bfloat16(target):
            return None
        p = product(workload) or _of_codes(workload)
        if p is None or 0 in (p.m, p.n, p.k) or any(isinstance(n, Size) for n in (p.n, p.k)):
            return None
        return cls(workload, target, p)

    @property
    def types(self) -> tuple[DType, DType]:
        """Of both operands before they are rounded."""
        return FLOAT32, FLOAT32

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """In pairs."""
        return ("words",)

    def micro(self, layout: Layout) -> DotProduct:
        """What multiplies."""
        return PAIRS

    def packing(self, layout: Layout) -> DotProduct:
        """The same."""
        return PAIRS

    def gathers(self, layout: Layout) -> bool:
        """A is always rounded into scratch."""
        return True

    def _tile(self, layout: Layout) -> tuple[int, int]:
        """Rows and vectors of the register tile that take the fewest cycles."""
        p, target = self.product, self.target

        def height(count: int) -> int:
            return balanced_width(p.m, tile_rows(count, target))

        def cost(count: int) -> tuple[float, int]:
            tiles = ceildiv(self.columns, count) * ceildiv(p.m, height(count))
            return tiles * self._tile_cycles(height(count), count), -count

        count = min(self.vectors, key=cost)
        return height(count), count

    def _tile_cycles(self, rows: int, count: int) -> float:
        """Of a tile."""
        steps = ceildiv(self.product.k, PAIRS.steps)
        return steps * cycles(rows, count, self.target) + _AROUND + rows * count * _STORED

    def _blocks(self, rows: int, width: int, layout: Layout) -> tuple[int, int]:
        """Register tiles and panels of a chunk: rows are rounded by each chunk that reads them, and
        so are columns that are not packed."""
        p, threads, half = self.product, self.target.threads, self.target.l2 // 2
        panels, tiles, batch = ceildiv(p.n, width), ceildiv(p.m, rows), math.prod(p.batch)
        tile = self._tile_cycles(rows, width // self.lanes)
        row = p.k * (_ROUNDED + FLOAT32.bytes * _FETCHED * (FLOAT32.nbytes(p.m * p.k) > half))
        column = p.k * (0 if p.packed else _ROUNDED)
        column += PAIRS.b.nbytes(p.k) * _FETCHED * (PAIRS.b.nbytes(p.n * p.k) > half)

        def cost(blocks: tuple[int, int]) -> tuple[bool, float]:
            high, wide = min(blocks[0], tiles), min(blocks[1], panels)
            chunks = batch * ceildiv(tiles, high) * ceildiv(panels, wide)
            each = high * wide * tile + high * rows * row + wide * width * column + _CHUNK
            large = high > 1 and PAIRS.a.nbytes(high * rows * p.k) > half
            return large, (ceildiv(chunks, threads) + (threads > 1) / 2) * each

        return min(itertools.product(powers(tiles, 14), powers(panels, 14)), key=cost)


def _of_codes(workload: Workload) -> Product | None:
    """With a matrix in bfloat16, [n, k]."""
    p = few_bits_product(workload)
    if p is None or p.dtype != "bfloat16":
        return None
    return Product(p.a, p.codes, (), p.m, p.n, p.k, transpose_b=True, packed=True)
