"""Where Winograd's convolution of whole numbers fits, its knobs, and the model of its default."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...emit.dot_product import DotProduct, fits_tile
from ...emit.dot_products import (
    Sums,
    fours,
    fused_pairs,
    sums,
    wrapping_pairs,
)
from ...ir.dtype import INT32, DType
from ...ir.size import Size as OpenSize
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import OF_WHOLE, around
from ..form import Form
from ..fused import leads
from ..loops import Loops
from ..powers import powers
from ..window import Axis, axes, balanced_width
from .transform import SIZES, Size

# What a direct method's operation, a multiply-add being two, takes as long as, for each channel:
# to transform a tile of inputs, and one of sums.
_INPUTS, _SUMS = 250.0, 680.0
# A byte of weights from memory, by each thread, since all share it, where two direct operations on
# vectors start in a cycle.
_FETCHED = 6.7
# Tiles of a chunk that take as long as to bring a vector of weights from L2, and from beyond.
_NEAR, _FAR = 4.0, 10.0
_MOST_TILES = 64
_TAIL = 0.2  # of a chunk, by which a thread ends later than another


class Knobs(NamedTuple):
    """See ``IntegerWinograd.choices``."""

    m: int
    lines: int
    rows: int
    vectors: int
    panels: int
    sums: Sums


@dataclass(frozen=True)
class IntegerWinograd(Form[Knobs]):
    """A 3x3 convolution of narrow whole numbers, of stride 1, with an elementwise epilogue."""

    rows: Axis
    columns: Axis
    batch: int
    in_c: int  # channels of the input, and of the output
    out_c: int

    name = "winograd_integer"
    version = 2
    knobs_type = Knobs
    anchors = around(conv2d_integer=OF_WHOLE)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerWinograd | None:
        """Of 8 bits, without groups and dilation, of constant weights; of any number of images."""
        if not leads(workload, "conv2d_integer"):
            return None
        node = workload.nodes[0]
        source, weights = (workload.tensor(a) for a in node.args)
        fits = (
            workload.constants[node.args[1]]
            and weights.shape[1:3] == (3, 3)
            and node.attr("strides") == (1, 1)
            and node.attr("dilations") == (1, 1)
            and node.attr("groups") == 1
            and all(t.element.is_whole and t.element.bits == 8 for t in (source, weights))
        )
        if not fits or any(
            isinstance(n, OpenSize) for n in (*source.shape[1:], *node.out.shape[1:])
        ):
            return None
        batch, _, _, in_c = source.shape
        form = cls(workload, target, *axes(node, source, (3, 3)), batch, in_c, node.out.shape[3])
        return form if form.sizes else None

    @cached_property
    def types(self) -> tuple[DType, DType]:
        """Of images and weights."""
        a, b = (self.workload.tensor(x).element for x in self.node.args)
        return a, b

    @cached_property
    def lanes(self) -> int:
        """Sums in a vector."""
        return self.target.lanes(INT32)

    def dots(self, sums: Sums) -> DotProduct:
        """What multiplies."""
        make = fused_pairs if sums == "fused" else wrapping_pairs
        return make(self.types[1], self.lanes)

    @cached_property
    def micro(self) -> DotProduct:
        """What multiplies by default."""
        return self.dots(sums(self.target)[0])

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many outputs a tile may have along each side."""
        return tuple(
            m
            for m, size in SIZES.items()
            if size.fits(*self.types) and size.most(*self.types) >= 2 * self.lanes
        )

    def depth(self, m: int) -> int:
        """Channels in a block, whose sums are right: whole vectors."""
        vector = 2 * self.lanes
        most = SIZES[m].most(*self.types) // vector * vector
        blocks = ceildiv(self.in_c, most)
        return ceildiv(ceildiv(self.in_c, blocks), vector) * vector

    @property
    def out_vectors(self) -> int:
        """Vectors that cover the output's channels."""
        return ceildiv(self.out_c, self.lanes)

    @property
    def vectors(self) -> tuple[int, ...]:
        """How many vectors a register tile may have."""
        return tuple(v for v in (1, 2, 3, 4) if v <= self.out_vectors)

    def down(self, m: int) -> int:
        """Rows of tiles."""
        return ceildiv(self.rows.out, m)

    def across(self, m: int) -> int:
        """Tiles in a row."""
        return ceildiv(self.columns.out, m)

    def choices(self) -> tuple[Knob, ...]:
        """The size of tiles, the register tile of the products, the blocks of a chunk."""
        lines = tuple(n for n in range(1, 17) if n <= self.down(min(self.sizes)))
        most = min(self.target.vector_registers - 3, lines[-1] * self.across(min(self.sizes)))
        return (
            Knob("m", self.sizes, "outputs of a tile along each side"),
            Knob("lines", lines, "rows of tiles in a chunk"),
            Knob("rows", tuple(range(1, most + 1)), "tiles in the register tile"),
            Knob("vectors", self.vectors, "vectors in it"),
            Knob("panels", powers(self.out_vectors, 10), "panels of output channels in a chunk"),
            Knob("sums", sums(self.target), "what adds up products"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers, and four times L2 what lies in scratch."""
        return (
            fits_tile(knobs.rows, knobs.vectors, self.target)
            and knobs.lines <= self.down(knobs.m)
            and knobs.rows <= knobs.lines * self.across(knobs.m)
            and knobs.panels < 2 * ceildiv(self.out_vectors, knobs.vectors)
            and (knobs.lines == 1 or self.scratch(knobs.m, knobs.lines) <= 4 * self.target.l2)
        )

    def scratch(self, m: int, lines: int) -> int:
        """Bytes of a chunk's transformed inputs."""
        return self.micro.a.nbytes((m + 2) ** 2 * lines * self.across(m) * self.in_c)

    def estimate(self) -> float:
        """Of the cheaper m."""
        return min(map(self._cost, self.sizes))

    def _cost(self, m: int) -> float:
        """Products, or fetching the weights where that takes longer, and transforms."""
        tiles, positions = self.batch * self.down(m) * self.across(m), (m + 2) ** 2
        weights = positions * self.in_c * self.out_vectors * self.lanes
        multiply_add = 1.0 if sums(self.target) == ("fused",) else 2.0
        fetched = _FETCHED * self.target.threads * self.target.costs.multiply_adds / 2
        product = max(multiply_add * weights * tiles, self.micro.b.nbytes(weights) * fetched)
        blocks, small = ceildiv(self.in_c, self.depth(m)), (m + 2) / 6
        outputs = _SUMS * self.out_vectors * self.lanes * blocks
        return product + small * tiles * (_INPUTS * self.in_c + outputs)

    def default(self) -> Knobs:
        """The cheaper m; the register tile, and the chunk, that take fewest cycles."""
        m = min(self.sizes, key=self._cost)
        down, across, threads = self.down(m), self.across(m), self.target.threads
        fused = sums(self.target) == ("fused",)
        timed = fours(self.types[0], self.lanes) if fused else self.micro  # as fast as the former

        def tile(lines: int, count: int) -> int:
            fitting = [
                r
                for r in range(1, self.target.vector_registers)
                if fits_tile(r, count, self.target)
            ]
            return balanced_width(lines * across, max(fitting))

        weights = self.micro.b.nbytes((m + 2) ** 2 * self.in_c * self.out_vectors * self.lanes)
        least = _FAR if weights > self.target.l2 else _NEAR

        def cost(choice: tuple[int, int, int]) -> tuple[bool, float]:
            lines, count, group = choice
            tiles, rows, panels = (
                lines * across,
                tile(lines, count),
                ceildiv(self.out_vectors, count),
            )
            full, rest = divmod(tiles, rows)
            taken = full * (timed.cycles(rows, count, self.target) + 1)
            taken += timed.cycles(rest, count, self.target) + 1 if rest else 0
            blocks, groups = ceildiv(down, lines), ceildiv(panels, group)
            chunks = self.batch * blocks * groups
            uneven = ceildiv(chunks, threads) * threads / chunks
            work = blocks * panels * count * taken / count * self.in_c / 2
            again = _INPUTS / 72 / min(self.out_c, group * count * self.lanes)
            far = 64.0 / tiles / (rows * count) if tiles < _MOST_TILES else 0.0
            near = max(1 + again + far / 8, least / tiles)
            large = lines > 1 and self.scratch(m, lines) > self.target.l2 // 2
            return large, work * uneven * near * (1 + _TAIL * threads / chunks)

        lines = [n for n in range(1, 17) if n <= down and (n == 1 or n * across <= _MOST_TILES)]
        counts = [v for v in self.vectors if fits_tile(1, v, self.target)]
        groups = powers(self.out_vectors, 10)
        choices = [
            (n, v, g)
            for n, v, g in itertools.product(lines, counts, groups)
            if g < 2 * ceildiv(self.out_vectors, v)
        ]
        chosen, count, group = min(choices, key=cost)
        return Knobs(m, chosen, tile(chosen, count), count, group, sums(self.target)[0])

    def loops(self, knobs: Knobs) -> Loops:
        """A step is a pair of channels of the matrix products; transforms are ``other``."""
        m, vectors = knobs.m, knobs.vectors
        positions, down, across = (
            (m + 2) ** 2,
            ceildiv(self.rows.out, m),
            ceildiv(self.columns.out, m),
        )
        lines = np.minimum(knobs.lines, down)
        tiles, width = lines * across, vectors * self.lanes
        blocks, panels = self.batch * ceildiv(down, lines), ceildiv(self.out_c, width)
        group = np.minimum(knobs.panels, panels)
        groups, pairs = ceildiv(panels, group), ceildiv(self.in_c, 2)
        panel, inputs = 2 * self.in_c * width, 2 * self.in_c * tiles
        return Loops(
            chunks=blocks * groups,
            sums=knobs.rows * vectors,
            loads=knobs.rows + vectors,
            depth=pairs,
            steps=positions * blocks * ceildiv(tiles, knobs.rows) * panels * pairs,
            work=positions * blocks * tiles * panels * vectors * pairs,
            inner=2 * self.in_c * knobs.rows + panel,
            kept=panel,
            streamed=positions * blocks * panels * (inputs + panel),
            chunk=positions * (inputs + panel * group + 4 * tiles * width),
            other=positions * blocks * tiles * (self.in_c * groups + panels * width),
        )


__all__ = ["IntegerWinograd", "Knobs", "Size"]
