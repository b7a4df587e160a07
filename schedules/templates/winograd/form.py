"""Where Winograd's convolution fits, its knobs, and the analytic model of its default."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from ...emit.tile import fits_registers
from ...ir.dtype import FLOAT32
from ...ir.size import Size, fixed
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, around
from ..form import Form
from ..fused import has_weights
from ..loops import Loops
from ..powers import floor_power, powers
from ..window import Axis, axes, balanced_width
from .side import Side

_BALANCED = 4  # inputs of a tile along a side that this accuracy allows
_BLOCKS = (1, 2, 3, 4, 6, 7, 8, 9, 12, 14, 16, 18, 20, 21, 24, 28, 32, 36, 42, 48, 49, 56, 64)
# With fewer tiles in a block, memory is what it waits for: the hardware fetches by itself then.
_WORTH_FETCHING = 8
# Operations while a byte comes from L3, and from the cache of another core, measured on Zen 5.
_FROM_L3, _FROM_ANOTHER = 2.5, 40.0


class Knobs(NamedTuple):
    """See ``Winograd.choices``."""

    m: int
    stages: int
    tiles: int
    rows: int
    vectors: int
    panels: int
    channels: int
    ahead: int


@dataclass(frozen=True)
class Winograd(Form[Knobs]):
    """A float32 convolution of stride 1 with an elementwise epilogue, whose kernel is a square.

    ``sizes`` are the outputs of a tile along each side that has taps, by the number of these.
    """

    rows: Axis
    columns: Axis
    batch: int
    in_c: int  # channels of the input, and of the output
    out_c: int
    groups: int

    name = "winograd"
    version = 2
    knobs_type = Knobs
    anchors = around(conv2d=WEIGHED)
    is_line: ClassVar[bool] = False
    sizes: ClassVar[Mapping[int, tuple[int, ...]]] = {3: (2, 4), 5: (2, 4), 7: (2,)}

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Winograd | None:
        """Of constant weights; groups of whole vectors of output channels.

        A strict target has none: the transforms' additions are not those of the sum.
        """
        if not has_weights(workload, "conv2d") or workload.nodes[0].attr("strides") != (1, 1):
            return None
        node = workload.nodes[0]
        source = workload.tensor(node.args[0])
        _, high, wide, _ = workload.tensor(node.args[1]).shape
        batch, _, _, in_c = source.shape
        sizes = (batch, in_c, node.out.shape[3], node.attr("groups"))
        form = cls(workload, target, *axes(node, source, (high, wide)), *sizes)
        whole = form.groups == 1 or form.per_group % form.lanes == 0
        return form if form.outputs and whole else None

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """Of a tile along each side that has taps, as the accuracy allows; see ``ACCURACIES``."""
        least, most = sorted((self.rows.kernel, self.columns.kernel))
        found = self.sizes.get(most, ()) if least == (1 if self.is_line else most) else ()
        if self.target.accuracy == "strict":
            return ()
        if self.target.accuracy == "balanced":
            return tuple(m for m in found if m + most - 1 <= _BALANCED)
        return found

    def sides(self, m: int) -> tuple[Side, Side]:
        """Of a tile with so many outputs along each side that has taps."""
        rows, columns = (
            Side(axis, m) if axis.kernel > 1 else Side(replace(axis, dilation=1), 1)
            for axis in (self.rows, self.columns)
        )
        return rows, columns

    def positions(self, m: int) -> int:
        """Inputs of a tile."""
        return math.prod(side.size for side in self.sides(m))

    @property
    def per_group(self) -> int:
        """Output channels of a group."""
        return self.out_c // self.groups

    @property
    def depth(self) -> int:
        """Channels that the products add up."""
        return self.in_c // self.groups

    @property
    def in_vectors(self) -> int:
        """Vectors that cover the input's channels."""
        return ceildiv(self.in_c, self.lanes)

    @property
    def out_vectors(self) -> int:
        """Vectors that cover the output's channels."""
        return ceildiv(self.out_c, self.lanes)

    @property
    def vectors(self) -> tuple[int, ...]:
        """How many vectors a register tile may have: panels have channels of one group."""
        some = (v for v in (1, 2, 3, 4, 6) if v <= self.out_vectors)
        return tuple(v for v in some if self.groups == 1 or self.per_group % (v * self.lanes) == 0)

    def tiles(self, m: int) -> int:
        """In the whole batch."""
        return self.batch * math.prod(side.tiles for side in self.sides(m))

    def choices(self) -> tuple[Knob, ...]:
        """The size of tiles, the register tile of the products, the blocks of both phases."""
        blocks = _block_sizes(self.tiles(self.outputs[0]))
        rows = tuple(range(1, min(blocks[-1], self.target.vector_registers - 2) + 1))
        strips = powers(self.in_vectors, 10)
        return (
            Knob("m", self.outputs, "outputs of a tile along each side"),
            Knob("stages", (1, 2), "1: a block's transformed inputs stay in scratch"),
            Knob("tiles", blocks, "tiles in a block"),
            Knob("rows", rows, "tiles in the register tile"),
            Knob("vectors", self.vectors, "vectors in it"),
            Knob("panels", powers(self.out_vectors, 10), "panels of output channels in a chunk"),
            Knob("channels", strips, "vectors of channels in a chunk of phase one"),
            Knob("ahead", (0, 1), "1: the next position's weights are fetched in time"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers, and twice L2 what lies in scratch."""
        positions = self.positions(knobs.m)
        width = knobs.panels * knobs.vectors * self.target.vector_bytes
        scratch = positions * knobs.tiles * width
        if knobs.stages == 1:
            scratch += FLOAT32.nbytes(positions * knobs.tiles * self.in_c)
        return (
            fits_registers(knobs.rows, knobs.vectors, self.target)
            and knobs.rows <= knobs.tiles
            and knobs.panels < 2 * ceildiv(self.out_vectors, knobs.vectors)
            and scratch <= 2 * self.target.l2
        )

    def estimate(self) -> float:
        """Of the cheaper m."""
        return min(self._cost(m) for m in self.outputs)

    def _cost(self, m: int) -> float:
        """Products, or fetching the weights where that takes longer, and transforms."""
        positions, tiles, costs = self.positions(m), self.tiles(m), self.target.costs
        padded_in, padded_out = self.in_vectors * self.lanes, self.out_vectors * self.lanes
        weights = positions * self.depth * padded_out
        product = max(2.0 * weights * tiles, FLOAT32.nbytes(weights) * costs.fetched_byte)
        return product + costs.transformed * positions * tiles * (padded_in + padded_out)

    def default(self) -> Knobs:
        """The cheaper m; blocks of tiles whose inputs and products share L2 with the weights. One
        stage where each thread has enough blocks, or where it costs less than what threads fetch
        from one another between two."""
        target = self.target
        m = min(self.outputs, key=self._cost)
        positions, total = self.positions(m), self.tiles(m)
        vectors, block = self._register_tile(m, apart=True)
        enough = ceildiv(total, block) >= 4 * target.threads and self._is_held(m, block)
        if target.threads > 1 and not enough:
            whole = self._register_tile(m, apart=False)
            enough = self._is_held(m, whole[1]) and (
                self._time(m, whole, apart=False) < self._time(m, (vectors, block), apart=True)
            )
            vectors, block = whole if enough else (vectors, block)
        blocks, panels = ceildiv(total, block), ceildiv(self.out_vectors, vectors)
        group = max(1, min(panels, panels * blocks // (4 * target.threads)))
        position_bytes = positions * target.vector_bytes * vectors
        while group > 1 and position_bytes * group * (block + self.depth) > target.l2:
            group //= 2
        return Knobs(
            m=m,
            stages=1 if enough else 2,
            tiles=block,
            rows=balanced_width(block, self._most_rows(vectors)),
            vectors=vectors,
            panels=floor_power(group),
            channels=floor_power(min(self.in_vectors, 8)),
            ahead=int(block >= _WORTH_FETCHING),
        )

    def _is_held(self, m: int, block: int) -> bool:
        """Whether L2 holds a block's transformed inputs."""
        return FLOAT32.nbytes(self.positions(m) * block * self.in_c) <= self.target.l2

    def _most_rows(self, vectors: int) -> int:
        return max(1, (self.target.vector_registers - 1 - vectors) // vectors)

    def _register_tile(self, m: int, *, apart: bool) -> tuple[int, int]:
        """Vectors, and tiles in a block, that take the least time where panels of output channels
        are chunks *apart*, or all of a block is one."""
        blocks = [block for block in _block_sizes(self.tiles(m)) if block <= 32]
        tiles = ((count, block) for count in self.vectors for block in blocks)
        return min(tiles, key=lambda tile: (self._steps(m, tile, apart=apart), -tile[1]))

    def _steps(self, m: int, tile: tuple[int, int], *, apart: bool) -> float:
        """Of all register tiles, for a channel and a position, as if by one thread."""
        (count, block), total, threads = tile, self.tiles(m), self.target.threads
        panels, most = ceildiv(self.out_vectors, count), self._most_rows(count)
        rows = min(block, most)
        loads = 1 + (count + rows) / (2 * count * rows)
        blocks = ceildiv(total, block)
        if apart:
            uneven = ceildiv(blocks * panels, threads) * threads / (blocks * panels)
        else:
            uneven = ceildiv(blocks, threads) * threads * block / total
        return _passes(total, block, most) * panels * count * loads * uneven

    def _time(self, m: int, tile: tuple[int, int], *, apart: bool) -> float:
        """Of a thread, in floating-point operations at full speed: what it multiplies, the weights
        that each block fetches anew (from L3: one thread brings them there for all), and what
        another thread transformed."""
        positions, total, target = self.positions(m), self.tiles(m), self.target
        steps = self._steps(m, tile, apart=apart) * positions * self.depth / target.threads
        weights = FLOAT32.nbytes(positions * self.depth * self.out_vectors * self.lanes)
        again = ceildiv(total, tile[1]) / target.threads
        fetched = weights * again * (_FROM_L3 if 2 * weights > target.l2 else 0)
        if not apart:
            return 2 * self.lanes * steps + fetched
        others = FLOAT32.nbytes(positions * total * self.in_c) / target.threads
        return 2 * self.lanes * steps + fetched + _FROM_ANOTHER * others

    def resized(self, knobs: Knobs) -> Knobs:
        """Blocks of no more tiles than there are."""
        total = self.tiles(knobs.m)
        if not isinstance(total, Size) or total >= knobs.tiles:
            return knobs
        tiles = fixed(total)
        return knobs._replace(tiles=tiles, rows=balanced_width(tiles, knobs.rows))

    def loops(self, knobs: Knobs) -> Loops:
        """A step is a channel of the matrix products; transforms are ``other``."""
        positions, total, vectors = self.positions(knobs.m), self.tiles(knobs.m), knobs.vectors
        block, width = np.minimum(knobs.tiles, total), vectors * self.lanes
        blocks, panels = ceildiv(total, block), ceildiv(self.out_c, width)
        group = np.minimum(knobs.panels, panels)
        rows, groups = np.minimum(knobs.rows, block), ceildiv(panels, group)
        one_stage = knobs.stages == 1
        panel = FLOAT32.nbytes(self.depth * width)
        inputs = FLOAT32.nbytes(self.depth * block)
        weights = panel * np.where(one_stage, panels, group)
        return Loops(
            chunks=blocks * np.where(one_stage, 1, groups),
            sums=rows * vectors,
            loads=rows + vectors,
            depth=self.depth,
            steps=positions * blocks * ceildiv(block, rows) * panels * self.depth,
            work=positions * total * panels * vectors * self.depth,
            inner=FLOAT32.nbytes(self.depth * rows) + panel,
            kept=panel,
            streamed=positions * blocks * panels * (inputs + panel),
            chunk=positions
            * (FLOAT32.nbytes(self.in_c * block) + weights + FLOAT32.nbytes(block * group * width)),
            other=positions * total * (self.in_c + panels * width),
        )


def _block_sizes(most: int) -> tuple[int, ...]:
    return tuple(s for s in _BLOCKS if s <= most)


def _passes(total: int, block: int, most: int) -> float:
    """Register-tile passes over all tiles, a block's remainder being a pass of its own."""
    full, rest = divmod(total, block)
    width = balanced_width(block, most)

    def cost(tiles: int) -> float:
        whole, left = divmod(tiles, width)
        return whole * (width + 1) + (left + 2 if left else 0)

    return full * (cost(block) + 1) + (cost(rest) + 1 if rest else 0)
