"""Which workloads are convolutions of planes, their kernels' knobs, and their lines in scratch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...emit.tile import LINE, fits_registers
from ...ir.dtype import FLOAT32
from ...ir.size import Size
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import Index, ceildiv, divide, modulo
from ..abilities import Abilities, around
from ..form import Form
from ..fused import has_weights
from ..loops import Loops
from ..powers import powers
from ..window import Axis, even_widths
from .downwards import Downwards

_VECTORS = (1, 2, 3, 4, 6, 8, 12)
_MOST_CHANNELS = 16  # of a register tile
_SCALARS = 2  # loads of them, which a weight for all lanes is, in a cycle, on every processor
_WAITING = 1 / 8  # of a load, which arithmetic does not hide,
_HELD_UP = 1 / 8  # and of a multiply-add for which a vector is loaded
_COPIED = 2.0  # cycles to copy a vector of the image into lines,
_SINGLY = 3.0  # one element where some are outside of the image,
_STORED = 3.0  # and to store one of the sums
_CHUNK = 500.0  # to begin a chunk
_NEAR = 1.15  # what steps take whose lines come from L2, not from L1,
_FAR = 0.5  # and what is added to those that do not fit L2, by how large they are in L2s


class Knobs(NamedTuple):
    """See ``ConvPlanes.choices``."""

    channels: int
    vectors: int
    rows: int
    columns: int
    panels: int


@dataclass(frozen=True)
class Lines:
    """How what a block of ``rows`` by ``columns`` outputs sees of a channel lies in scratch.

    Every ``stride``-th row and column is together, so that whatever tap it is, neighbouring outputs
    see neighbours: [remainder of the row][of the column][row][column]. Outputs lie as one row does,
    ``pitch`` apart from one row to the next. Vectors go through all of them *flat* where fewer are
    idle so, and else, or where rows have to be ``apart``, through each row by itself.
    """

    down: Axis
    across: Axis
    rows: int
    columns: int
    lanes: int
    apart: bool = False

    @property
    def spans(self) -> tuple[int, int]:
        """Rows and columns of the image that the block sees, padding among them."""
        return _span(self.down, self.rows), _span(self.across, self.columns)

    @property
    def turns(self) -> tuple[int, int]:
        """Remainders that rows and columns have."""
        high, wide = self.spans
        return min(self.down.stride, high), min(self.across.stride, wide)

    @property
    def high(self) -> int:
        """Rows of one remainder."""
        return ceildiv(self.spans[0], self.down.stride)

    @property
    def pitch(self) -> int:
        """Columns of one remainder, and of rows that are ``apart`` whole lines of the cache: an
        odd number, so that rows below each other are in different sets."""
        columns = ceildiv(self.spans[1], self.across.stride)
        return LINE * (ceildiv(columns, LINE) | 1) if self.apart else columns

    def at(self, place: Index, column: Index) -> Index:
        """Where a line that begins at ``place`` has a column, the first that it sees being 0."""
        turn, rest = modulo(column, self.across.stride), divide(column, self.across.stride)
        return place + turn * (self.high * self.pitch) + rest

    @property
    def channel(self) -> int:
        """Elements of a channel."""
        return self.turns[0] * self.turns[1] * self.high * self.pitch

    @property
    def is_flat(self) -> bool:
        """Whether vectors reach over the ends of rows."""
        flat = (self.rows - 1) * self.pitch + self.columns
        return not self.apart and ceildiv(flat, self.lanes) <= self.rows * ceildiv(
            self.columns, self.lanes
        )

    @property
    def runs(self) -> int:
        """How often neighbours begin anew."""
        return 1 if self.is_flat else self.rows

    @property
    def vectors(self) -> int:
        """That cover one run."""
        length = (self.rows - 1) * self.pitch + self.columns if self.is_flat else self.columns
        return ceildiv(length, self.lanes)

    @property
    def between(self) -> int:
        """Elements from one row of sums to the next."""
        return self.pitch if self.is_flat else self.vectors * self.lanes

    @property
    def sums(self) -> int:
        """Elements of the sums of one output channel."""
        return self.runs * self.vectors * self.lanes


@dataclass(frozen=True)
class ConvPlanes(Form[Knobs]):
    """A float32 convolution of images channels first, with an elementwise epilogue.

    ``depth`` are the input channels of a group, ``per_group`` the output channels.
    """

    down: Axis
    across: Axis
    batch: int
    groups: int
    depth: int
    per_group: int

    name = "conv_planes"
    version = 2
    knobs_type = Knobs
    anchors = around(conv2d_planes=Abilities(known_weights=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> ConvPlanes | None:
        """Any kernel, stride, dilation and groups, of fixed sizes; weights are constant."""
        if not has_weights(workload, "conv2d_planes"):
            return None
        node = workload.nodes[0]
        (batch, _, height, width), weights = (workload.tensor(a).shape for a in node.args)
        _, channels, out_h, out_w = node.out.shape
        if any(isinstance(size, Size) for size in (batch, height, width)):
            return None
        top, left, _, _ = node.attr("pads")
        (sh, sw), (dh, dw) = node.attr("strides"), node.attr("dilations")
        _, kh, kw, depth = weights
        down = Axis(height, out_h, kh, sh, top, dh)
        across = Axis(width, out_w, kw, sw, left, dw)
        groups = node.attr("groups")
        return cls(workload, target, down, across, batch, groups, depth, channels // groups)

    @property
    def taps(self) -> int:
        """Of the kernel."""
        return self.down.kernel * self.across.kernel

    @property
    def goes_down(self) -> bool:
        """Whether a tile's vectors lie below each other, and share what they read."""
        return self.per_group == 1 and self.down.kernel > 1

    def panels(self, knobs: Knobs) -> int:
        """Of output channels, in a group."""
        return ceildiv(self.per_group, knobs.channels)

    def lines(self, knobs: Knobs) -> Lines:
        """Of a chunk."""
        rows, columns = min(knobs.rows, self.down.out), min(knobs.columns, self.across.out)
        return Lines(self.down, self.across, rows, columns, self.lanes, self.goes_down)

    def choices(self) -> tuple[Knob, ...]:
        """The register tile and what a chunk is."""
        channels = tuple(range(1, min(self.per_group, _MOST_CHANNELS) + 1))
        return (
            Knob("channels", channels, "output channels in the register tile"),
            Knob("vectors", _VECTORS, "vectors of places in it, at most"),
            Knob("rows", powers(self.down.out, 12), "output rows in a chunk"),
            Knob("columns", powers(self.across.out, 16), "outputs of a row in a chunk"),
            Knob("panels", powers(self.groups * self.per_group, 14), "panels in a chunk"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers."""
        return fits_registers(knobs.channels, knobs.vectors, self.target)

    @cached_property
    def cycles(self) -> float:
        """Of the default schedule, by counting them."""
        return self._cycles(self.default())

    def default(self) -> Knobs:
        """What takes the fewest cycles."""
        blocks = [
            Knobs(1, 1, rows, columns, panels)
            for rows in powers(self.down.out, 12)
            for columns in powers(self.across.out, 16)[-4:]
            for panels in powers(self.groups * self.per_group, 14)
        ]
        tile = self._tile(self.lines(Knobs(1, 1, *self._widest, 1)))
        return min(
            (knobs._replace(channels=tile[0], vectors=tile[1]) for knobs in blocks),
            key=self._cycles,
        )

    @cached_property
    def _widest(self) -> tuple[int, int]:
        return powers(self.down.out, 12)[-1], powers(self.across.out, 16)[-1]

    def _tile(self, lines: Lines) -> tuple[int, int]:
        """Channels and vectors of the register tile with which all steps take the least."""
        tiles = [
            (channels, vectors)
            for channels in range(1, min(self.per_group, _MOST_CHANNELS) + 1)
            for vectors in _VECTORS
            if fits_registers(channels, vectors, self.target)
        ]
        return min(tiles, key=lambda tile: self._steps(lines, *tile) * (1 + _HELD_UP / tile[0]))

    def _steps(self, lines: Lines, channels: int, vectors: int) -> float:
        """Cycles of a step for all places and output channels of a group."""
        costs = self.target.costs
        apart = 1 + self.lanes / LINE  # loads that one is worth whose vector may lie in two lines

        def cycles(width: int, channels: int, loaded: float) -> float:
            return max(width * channels / costs.multiply_adds, loaded, costs.latency)

        if self.goes_down:
            high, down = self.down.kernel, Downwards(self.down)
            rows = even_widths(lines.rows, vectors)
            loads = {
                some: (apart * down.loads(some) / high + 1) / costs.loads for some in set(rows)
            }
            waits = _WAITING * sum(loads[some] for some in rows)
            return lines.vectors * (sum(cycles(some, 1, loads[some]) for some in rows) + waits)
        widths = even_widths(lines.vectors, vectors)

        def panel(channels: int) -> float:
            loads = {some: apart * some / costs.loads + channels / _SCALARS for some in set(widths)}
            return sum(cycles(some, channels, loads[some]) for some in widths) if channels else 0.0

        full, rest = divmod(self.per_group, channels)
        return lines.runs * (full * panel(channels) + panel(rest))

    def _cycles(self, knobs: Knobs) -> float:
        """Of the thread that does most."""
        lines, panels, target = self.lines(knobs), self.panels(knobs), self.target
        some, groups = min(knobs.panels, panels), max(1, knobs.panels // panels)
        chunks = self.batch * ceildiv(panels, some) * ceildiv(self.groups, groups)
        chunks *= ceildiv(self.down.out, lines.rows) * ceildiv(self.across.out, lines.columns)
        steps = self._steps(lines, knobs.channels, knobs.vectors) * some / panels
        step = steps * self.taps * self.depth
        bytes_ = FLOAT32.nbytes(lines.channel * self.depth)
        if bytes_ > target.l1:
            step *= max(_NEAR, _FAR + bytes_ / target.l2)
        moved = _COPIED + math.log2(self.across.stride)  # columns are brought apart, too
        copied = moved * lines.channel * self.depth / self.lanes
        beside = ceildiv(self.across.out, lines.columns)
        if beside > 1 and not self.across.stays_inside:  # the first and the last see padding
            copied += 2 / beside * _SINGLY * lines.channel * self.depth
        stored = _STORED * lines.sums / self.lanes * some * knobs.channels
        chunk = _CHUNK + min(groups, self.groups) * (step + copied + stored)
        return ceildiv(chunks, target.threads) * chunk + chunk * (chunks > 1) / 2

    def loops(self, knobs: Knobs) -> Loops:
        """A step is a tap of an input channel."""
        channels, vectors = knobs.channels, knobs.vectors
        rows = np.minimum(knobs.rows, self.down.out)
        columns = np.minimum(knobs.columns, self.across.out)
        panels = ceildiv(self.per_group, channels)
        some, groups = np.minimum(knobs.panels, panels), np.maximum(1, knobs.panels // panels)
        high, wide = (rows - 1) * self.down.stride, (columns - 1) * self.across.stride
        seen = (high + self.down.kernel) * (wide + self.across.kernel) * self.depth
        blocks = ceildiv(self.down.out, rows) * ceildiv(self.across.out, columns) * self.batch
        covered = ceildiv(rows * columns, self.lanes)
        depth = self.taps * self.depth
        units = blocks * self.groups * panels
        return Loops(
            chunks=blocks * ceildiv(panels, some) * ceildiv(self.groups, groups),
            sums=channels * vectors,
            loads=channels + vectors,
            depth=depth,
            steps=units * ceildiv(covered, vectors) * depth,
            work=units * covered * channels * depth,
            inner=FLOAT32.nbytes(depth * channels + self.depth * vectors * self.lanes),
            kept=FLOAT32.nbytes(depth * channels),
            streamed=FLOAT32.nbytes(units * seen),
            chunk=FLOAT32.nbytes(seen * groups + rows * columns * some * channels),
            other=blocks * ceildiv(panels, some) * self.groups * seen,
        )


def _span(axis: Axis, outputs: int) -> int:
    """What so many neighbouring outputs see."""
    return (outputs - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1
