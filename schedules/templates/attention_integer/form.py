"""Where attention of whole numbers fits, its knobs, and which are chosen without measuring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ...emit.dot_product import DotProduct, fits_tile
from ...emit.dot_products import INT8, INT16, UINT8, fours, layouts, pairs
from ...ir.dtype import FLOAT32, INT32
from ...ir.size import Size, at_least, at_most, fixed
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..by_grain import largest
from ..form import Form
from ..loops import Loops
from ..powers import powers
from ..window import balanced_width
from .pattern import WholeAttention, attention_of

_MOST_VECTORS = 4  # of keys or columns in a register tile
_PAIR = 2
_LEAST_TILES = 4  # in a chunk, for which keys and values are brought near


class Knobs(NamedTuple):
    """See ``IntegerAttention.choices``."""

    rows: int
    vectors: int
    tiles: int


@dataclass(frozen=True)
class IntegerAttention(Form[Knobs]):
    """Two products of 8 bits with a softmax between them."""

    attention: WholeAttention

    name = "attention_integer"
    version = 1
    knobs_type = Knobs
    follows = True

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerAttention | None:
        """Any; see ``is_near``."""
        found = attention_of(workload)
        return None if found is None else cls(workload, target, found)

    @property
    def is_near(self) -> bool:
        """Whether all keys and values of a head fit half of L2."""
        node = self.attention
        return self.micro.b.nbytes(node.keys * (node.depth + node.width)) <= self.target.l2 // 2

    @cached_property
    def micro(self) -> DotProduct:
        """What multiplies: fours where the target does, or pairs in 16 bits."""
        if layouts(UINT8, INT8, self.target) == ("fours",):
            return fours(UINT8, self.lanes)
        return pairs(INT16, self.lanes)

    @cached_property
    def lanes(self) -> int:
        """Sums in a vector."""
        return self.target.lanes(INT32)

    @property
    def units(self) -> int:
        """Products of matrices."""
        return math.prod(self.attention.batch)

    @property
    def _highest(self) -> int:
        """Rows of a register tile at most."""
        return min(self.attention.rows, self.lanes, self.target.vector_registers - 3)

    def choices(self) -> tuple[Knob, ...]:
        """The register tile, and how many of them a chunk has."""
        node, most = self.attention, self._highest
        widest = ceildiv(max(node.keys, node.width), self.lanes)
        vectors = tuple(v for v in (1, 2, 3, 4, 6, 8) if v == 1 or v < 2 * widest)
        return (
            Knob("rows", tuple(range(1, most + 1)), "rows of the register tile"),
            Knob("vectors", vectors, "vectors of keys, or columns, in the register tile"),
            Knob("tiles", powers(node.rows, 14), "register tiles of rows in a chunk"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers, and a chunk is not twice what there is."""
        tiles = ceildiv(self.attention.rows, knobs.rows)
        return fits_tile(knobs.rows, knobs.vectors, self.target) and knobs.tiles < 2 * tiles

    def default(self) -> Knobs:
        """As high as registers allow, and chunks enough for all threads."""
        node = self.attention
        widest = ceildiv(max(node.keys, node.width), self.lanes)
        vectors = max(v for v in (1, 2, 4) if v == 1 or v <= min(widest, _MOST_VECTORS))
        vectors = max(v for v in (1, 2, 4) if v <= vectors and fits_tile(1, v, self.target))
        if self.micro.steps == _PAIR:
            vectors = min((v for v in (1, 2, 4) if v <= vectors), key=self._taken)
        rows = balanced_width(node.rows, self._high(vectors))
        tiles = ceildiv(node.rows, rows)
        blocks = ceildiv(8 * self.target.threads, self.units)
        wanted = max(_LEAST_TILES, ceildiv(tiles, blocks))
        return Knobs(rows, vectors, largest(powers(tiles, 14), wanted))

    def _high(self, vectors: int) -> int:
        """Rows that fit the registers."""
        return max(r for r in range(1, self._highest + 1) if fits_tile(r, vectors, self.target))

    def _taken(self, vectors: int) -> float:
        """Cycles of a step, for each of its vectors of sums."""
        rows = self._high(vectors)
        return self.micro.cycles(rows, vectors, self.target) / (rows * vectors)

    def resized(self, knobs: Knobs) -> Knobs:
        """Of rows in a tile as many as leave the last one full; chunks as by default."""
        node = self.attention
        if not isinstance(node.rows, Size):
            return knobs
        rows = fixed(ceildiv(node.rows, ceildiv(node.rows, knobs.rows)))
        tiles = ceildiv(node.rows, rows)
        each = tiles * self.units // (8 * self.target.threads)
        return Knobs(rows, knobs.vectors, at_most(at_least(each, _LEAST_TILES), tiles))

    def loops(self, knobs: Knobs) -> Loops:
        """The nest of both products; softmax and what is brought near are ``other``."""
        node, rows, vectors = self.attention, knobs.rows, knobs.vectors
        tiles = ceildiv(node.rows, rows)
        chunks = self.units * ceildiv(tiles, knobs.tiles)
        width = vectors * self.lanes
        steps, each = self.micro.steps, self.micro.b.bytes
        scores = ceildiv(node.keys, width) * ceildiv(node.depth, steps)
        values = ceildiv(node.width, width) * ceildiv(node.keys, steps)
        near = node.keys * (node.depth + node.width) * each  # bytes
        row = (node.depth + node.keys) * each + node.keys * FLOAT32.bytes + node.width
        return Loops(
            chunks=chunks,
            sums=rows * vectors,
            loads=rows + vectors,
            depth=ceildiv(node.depth, steps),
            steps=self.units * tiles * (scores + values),
            work=self.units * node.rows * vectors * (scores + values),
            inner=ceildiv(node.depth, steps) * steps * each * (rows + width),
            kept=rows * row,
            streamed=self.units * tiles * near,
            chunk=near + knobs.tiles * rows * row,
            other=self.units * node.rows * node.keys + chunks * near,
        )
