"""Depthwise convolutions and pools: which these are, their kernels' knobs and loop nests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ... import ops
from ...emit.bfloat16 import rounds_bfloat16
from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD, MicroKernel
from ...ir.dtype import FLOAT32
from ...ir.space import Knob
from ...ir.workload import Node, Tensor, Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, Abilities, around
from ..form import Form
from ..fused import anchor_is_first, has_weights
from ..loops import Loops
from ..powers import ceil_power, floor_power, powers
from ..rounding import BFLOAT16, in_float32
from ..taps import are_many
from ..window import Axis, axes, even_widths

_POOL = Abilities(reads_apart=True, writes_apart=True)
_LEAST_SUMS = 8  # of a tile: with fewer, neighbours share too little of what they load
_MOST_OUTPUTS = 14  # of a tile
_TAKEN = 1.2  # times a multiply-add by what all lanes share, where they take it from others
_TAKEN_AND_SHARED = 0.85  # where several outputs use what they took
_LEAST_WORK = 16384  # taps of a chunk: with fewer, larger chunks than the cores need


class Knobs(NamedTuple):
    """See ``Channelwise.choices``."""

    tile_w: int
    vectors: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Channelwise(Form[Knobs]):
    """A float32 convolution or pool of each channel by itself, or of groups that are no wider than
    a vector, with an elementwise epilogue.

    ``channels`` are the output's, and an output reads ``group`` of the input's.
    """

    rows: Axis
    columns: Axis
    batch: int
    channels: int
    group: int = 1

    name = "channelwise"
    version = 2
    knobs_type = Knobs
    anchors = around(conv2d=WEIGHED, max_pool2d=_POOL, avg_pool2d=_POOL)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Channelwise | None:
        """Depthwise convolutions with so many outputs for each channel as divide a vector, those in
        groups that do and have no fewer outputs than inputs, and 2-D pools.
        """
        node, group = workload.nodes[0], 1
        first = isinstance(ops.of(node), ops.Pool) and anchor_is_first(workload, node.op)
        if first or is_short_pool(workload):
            high, wide = node.attr("kernel")
        elif has_weights(_computed(workload, target), "conv2d") and _fits_lanes(workload, target):
            _, high, wide, group = workload.tensor(node.args[1]).shape
        else:
            return None
        source = workload.tensor(node.args[0])
        batch, channels = source.shape[0], node.out.shape[3]
        return cls(workload, target, *axes(node, source, (high, wide)), batch, channels, group)

    @property
    def read(self) -> int:
        """Channels of the input."""
        return self.workload.tensor(self.node.args[0]).shape[3]

    @property
    def repeats(self) -> int:
        """Outputs for each channel of the input."""
        return 1 if self.read == self.channels else self.channels // self.read

    @property
    def micro(self) -> MicroKernel:
        """What multiplies and adds."""
        return FLOAT32_MULTIPLY_ADD

    @property
    def lowest(self) -> float:
        """What no element is below, of which a maximum begins."""
        return -np.inf

    @property
    def taps(self) -> int:
        """Of the window."""
        return self.rows.kernel * self.columns.kernel

    @property
    def depth(self) -> int:
        """Multiply-adds for one output."""
        return self.taps * self.group

    def choices(self) -> tuple[Knob, ...]:
        """The register tile and the rows of a chunk."""
        widths = tuple(range(1, min(self.columns.out, _MOST_OUTPUTS) + 1))
        limit = ceildiv(self.channels, self.lanes)
        vectors = tuple(v for v in (1, 2, 4) if v <= limit)
        return (
            Knob("tile_w", widths, "neighbouring outputs in a tile, at most"),
            Knob("vectors", vectors, "vectors of channels"),
            Knob("rows", powers(self.rows.out, 10), "output rows in a chunk"),
            Knob("columns", powers(self.columns.out, 16), "outputs of a row in a chunk"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """Sums and what they are made of nearly fit the registers."""
        return 2 * knobs.tile_w * knobs.vectors <= self.target.vector_registers * 3 // 2

    def default(self) -> Knobs:
        """Sums that hide a multiply-add's latency, and whose outputs share what they load, in half
        of the registers; six chunks a thread, if each has enough to do."""
        out, (widest, vectors) = self.columns.out, self._widest_tile
        wanted = 6 * self.target.threads
        rows = self.rows.out * self.batch // wanted
        rows = max(rows, ceildiv(_LEAST_WORK, out * self.channels * self.depth))
        rows = floor_power(min(rows, self.rows.out))
        columns = powers(out, 16)[-1]
        if self.rows.out * self.batch < wanted:
            least = ceildiv(_LEAST_WORK, self.channels * self.depth)
            least = max(least, out * self.rows.out * self.batch // wanted)
            columns = floor_power(min(columns, max(widest, least)))
        return Knobs(max(even_widths(out, widest)), vectors, rows, columns)

    @property
    def _widest_tile(self) -> tuple[int, int]:
        """Outputs and vectors of channels of a tile, at most.

        Groups share what their lanes take between the taps of a row, whose weights stay beside the
        sums.
        """
        out, registers = self.columns.out, self.target.vector_registers
        if self.group > 1:
            beside = registers - 1 - self.columns.kernel
            return min(max(beside, registers // 2), _MOST_OUTPUTS), 1
        vectors, half = 2 if self.channels > self.lanes else 1, registers // 2
        if out * vectors <= half:
            return out, vectors  # a row that is one tile
        return ceildiv(min(max(self.target.costs.sums, _LEAST_SUMS), half), vectors), vectors

    def estimate(self) -> float:
        """Nothing is better for channels by themselves."""
        if self.group == 1:
            return 0.0
        taken = _TAKEN_AND_SHARED if self._shares else _TAKEN
        return taken * 2.0 * self.node.out.size * self.depth

    @property
    def _shares(self) -> bool:
        """Whether outputs share what lanes take of a column that several of them read."""
        across = self.columns
        if are_many(across, even_widths(across.out, self._widest_tile[0]), self.group):
            return False
        return any(tap * across.dilation % across.stride == 0 for tap in range(1, across.kernel))

    def loops(self, knobs: Knobs) -> Loops:
        """A step is one channel of one tap of the window."""
        down, across = self.rows, self.columns
        tile_w, vectors, rows = knobs.tile_w, knobs.vectors, np.minimum(knobs.rows, down.out)
        read = (tile_w - 1) * across.stride + across.kernel  # columns of the input, by a tile
        strips = ceildiv(self.channels, vectors * self.lanes)
        line = FLOAT32.nbytes(across.size * self.read)
        columns = np.clip(knobs.columns // tile_w * tile_w, tile_w, across.out)
        lines = np.minimum(down.size, (down.size / down.out) * rows + down.kernel - 1)
        patch = vectors * self.target.vector_bytes * down.kernel * (read + across.kernel)
        outputs = self.batch * down.out
        return Loops(
            chunks=self.batch * ceildiv(down.out, rows) * ceildiv(across.out, columns),
            sums=tile_w * vectors,
            loads=vectors * (read + across.kernel) / across.kernel,
            depth=self.depth,
            steps=outputs * ceildiv(across.out, tile_w) * strips * self.depth,
            work=outputs * across.out * ceildiv(self.channels, self.lanes) * self.depth,
            inner=patch,
            kept=patch,
            streamed=outputs * down.kernel * line,
            chunk=(lines * line + FLOAT32.nbytes(rows * across.out * self.channels))
            * (columns / across.out),
        )


def is_short_pool(workload: Workload) -> bool:
    """Whether it is the largest of numbers that lie in memory as bfloat16, and lies so itself."""
    node, *rest = workload.nodes
    if node.op != "max_pool2d" or rest:
        return False
    return workload.tensor(node.args[0]).element == node.out.element == BFLOAT16


def computed(workload: Workload) -> Workload:
    """The same, where what is stored as bfloat16 is a float32 until then."""
    if not is_short_pool(workload):
        return workload
    (node,) = workload.nodes
    cast = Node("cast", (len(workload.inputs),), node.out)
    return replace(workload, nodes=(replace(node, out=Tensor(node.out.shape)), cast))


def is_depthwise(workload: Workload) -> bool:
    """Whether the convolution that comes first has one output for each channel."""
    node = workload.nodes[0]
    channels = workload.tensor(node.args[0]).shape[3]
    return bool(1 < channels == node.attr("groups") == node.out.shape[3])


def _computed(workload: Workload, target: Target) -> Workload:
    """The same with a result of float32, where an instruction rounds it to bfloat16."""
    node = workload.nodes[0]
    if node.op != "conv2d" or not rounds_bfloat16(target):
        return workload
    source = workload.tensor(node.args[0]).element
    return in_float32(workload) if source == FLOAT32 else workload


def _fits_lanes(workload: Workload, target: Target) -> bool:
    """Whether groups of channels, or channels by themselves, have outputs that divide a vector."""
    node, lanes = workload.nodes[0], target.lanes(FLOAT32)
    groups, read = node.attr("groups"), workload.tensor(node.args[0]).shape[3]
    if groups == 1:
        return False
    inputs, outputs = read // groups, node.out.shape[3] // groups
    if not outputs == ceil_power(outputs) <= lanes:
        return False
    return inputs == 1 or bool(inputs == ceil_power(inputs) <= outputs)
