"""Which products round their rows first, the knobs of their kernels, and their loop nests."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

from ...ir.dtype import FLOAT32
from ...ir.size import Size, at_least, at_most, fixed
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, around
from ..few_bits.form import FewBitsProduct, few_bits_product
from ..form import Form
from ..loops import Loops
from ..powers import powers
from ..window import balanced_width

_STEP = 4  # numbers along K that one instruction multiplies
# Of the time of a product, measured on Zen 5: what a load of the matrix takes, and of fewer bits to
# make bytes of it; and one that all vectors share.
_LOADED, _UNPACKED, _SHARED = 0.8, 0.4, 0.4
_TAIL = 0.2  # of a chunk, by which a thread ends later than another


class Knobs(NamedTuple):
    """See ``FewBitsInteger.choices``."""

    rows: int
    vectors: int
    tiles: int
    panels: int


@dataclass(frozen=True)
class FewBitsInteger(Form[Knobs]):
    """A product whose rows are rounded to 8 bits, with an elementwise epilogue."""

    product: FewBitsProduct

    name = "few_bits_integer"
    version = 1
    knobs_type = Knobs
    follows = True
    anchors = around(matmul_few_bits_integer=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> FewBitsInteger | None:
        """Of any number of rows."""
        p = few_bits_product(workload, "matmul_few_bits_integer")
        if p is None or 0 in (p.m, p.n, p.k) or isinstance(p.n, Size) or isinstance(p.k, Size):
            return None
        return cls(workload, target, p)

    @property
    def columns(self) -> int:
        """Vectors that cover the columns."""
        return ceildiv(self.product.n, self.lanes)

    @property
    def widths(self) -> tuple[int, ...]:
        """How many vectors a register tile may have."""
        return tuple(v for v in (1, 2, 3, 4) if v <= self.columns and self._holds(1, v))

    @property
    def most_rows(self) -> int:
        """Of a register tile."""
        return max(r for r in range(1, self.target.vector_registers) if self._holds(r, 1))

    def _holds(self, rows: int, vectors: int) -> bool:
        """Whether registers hold sums of whole numbers and of floats, a vector for each part, one
        that all share, and one in between."""
        return (2 * rows + 1) * vectors + 2 <= self.target.vector_registers

    def choices(self) -> tuple[Knob, ...]:
        """The register tile, the blocks of a chunk."""
        rows = tuple(range(1, min(self.product.m, self.most_rows) + 1))
        return (
            Knob("rows", rows, "rows of the register tile"),
            Knob("vectors", self.widths, "vectors of columns in the register tile"),
            Knob("tiles", powers(self.product.m, 14), "register tiles of rows in a chunk"),
            Knob("panels", powers(self.columns, 14), "panels of columns in a chunk"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers, and blocks are not twice what there is."""
        return (
            self._holds(knobs.rows, knobs.vectors)
            and knobs.tiles < 2 * ceildiv(self.product.m, knobs.rows)
            and knobs.panels < 2 * ceildiv(self.columns, knobs.vectors)
        )

    def default(self) -> Knobs:
        """The tile and the blocks that take fewest steps."""
        p = self.product

        def tile_rows(vectors: int) -> int:
            held = (r for r in range(1, self.most_rows + 1) if self._holds(r, vectors))
            return balanced_width(p.m, max(held))

        def cost(vectors: int) -> tuple[float, int]:
            rows = tile_rows(vectors)
            computed = ceildiv(self.columns, vectors) * vectors * ceildiv(p.m, rows) * rows
            beside = (_UNPACKED if p.bits < 8 else _LOADED) / rows + _SHARED / vectors
            return computed / (self.columns * p.m) * (1 + beside), -vectors

        vectors = min(self.widths, key=cost)
        rows = tile_rows(vectors)
        return Knobs(rows, vectors, *self._blocks(rows, vectors))

    def _blocks(self, rows: int, vectors: int) -> tuple[int, int]:
        """Register tiles and panels of a chunk: all tiles where there are panels enough, since they
        share them."""
        p, threads = self.product, self.target.threads
        tiles, panels = ceildiv(p.m, rows), ceildiv(self.columns, vectors)

        def cost(blocks: tuple[int, int]) -> float:
            high, wide = min(blocks[0], tiles), min(blocks[1], panels)
            chunks = ceildiv(tiles, high) * ceildiv(panels, wide)
            uneven = ceildiv(chunks, threads) * threads / chunks
            return uneven * (1 + 1 / (high * rows)) + _TAIL * threads / chunks + chunks / 1000

        return min(itertools.product(powers(tiles, 14), powers(panels, 14)), key=cost)

    def resized(self, knobs: Knobs) -> Knobs:
        """Of rows in a tile as many as leave the last one full; chunks as by default."""
        p = self.product
        if not isinstance(p.m, Size):
            return knobs
        rows = fixed(ceildiv(p.m, ceildiv(p.m, min(knobs.rows, self.most_rows))))
        tiles, panels = ceildiv(p.m, rows), ceildiv(self.columns, knobs.vectors)
        each = tiles * ceildiv(panels, knobs.panels) // (8 * self.target.threads)
        return Knobs(rows, knobs.vectors, at_most(at_least(each, 1), tiles), knobs.panels)

    def loops(self, knobs: Knobs) -> Loops:
        """A step multiplies vectors of a panel with groups of a tile."""
        p, rows, vectors = self.product, knobs.rows, knobs.vectors
        tiles, panels = ceildiv(p.m, rows), ceildiv(self.columns, vectors)
        depth = p.blocks * p.block // _STEP
        panel = p.nbytes * vectors / self.columns
        shared = p.blocks * p.block * rows  # bytes of a tile's rows
        return Loops(
            chunks=ceildiv(tiles, knobs.tiles) * ceildiv(panels, knobs.panels),
            sums=rows * vectors,
            loads=rows + vectors,
            depth=p.block // _STEP,
            steps=tiles * panels * depth,
            work=p.m * self.columns * depth,
            inner=shared + panel,
            kept=panel,
            streamed=tiles * panels * shared,
            chunk=knobs.panels * panel + knobs.tiles * shared,
            other=FLOAT32.nbytes(math.prod((p.m, p.k))) // self.target.vector_bytes,
        )
