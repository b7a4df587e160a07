"""Which pools are of planes, images of one channel, and the knob of their kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ... import ops
from ...ir.dtype import FLOAT32
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import Abilities, around
from ..form import Form
from ..fused import anchor_is_first
from ..loops import Loops
from ..powers import floor_power, powers
from ..window import Axis, axes

_POOL = Abilities(reads_apart=True, writes_apart=True)
_LEAST_WORK = 1 << 16  # elements of windows in a chunk: with fewer, more chunks cost more


class Knobs(NamedTuple):
    """``lines``: rows of outputs in a chunk, of one image or of several."""

    lines: int


@dataclass(frozen=True)
class PoolPlanes(Form[Knobs]):
    """A float32 pool whose lanes are neighbours of a row, with an elementwise epilogue."""

    rows: Axis
    columns: Axis
    images: int

    name = "pool_planes"
    version = 1
    knobs_type = Knobs
    anchors = around(max_pool2d=_POOL, avg_pool2d=_POOL)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> PoolPlanes | None:
        """Of one channel, and of fixed sizes."""
        node = workload.nodes[0]
        if not isinstance(ops.of(node), ops.Pool) or not anchor_is_first(workload, node.op):
            return None
        source = workload.tensor(node.args[0])
        sizes = (*source.shape, *node.out.shape)
        if source.shape[3] != 1 or not all(isinstance(size, int) for size in sizes):
            return None
        return cls(workload, target, *axes(node, source, node.attr("kernel")), source.shape[0])

    @property
    def lines(self) -> int:
        """Rows of outputs in all images."""
        return self.images * self.rows.out

    @cached_property
    def reach(self) -> int:
        """Columns, padding among them, from the first to the last that a row of outputs sees."""
        across = self.columns
        return (across.out - 1) * across.stride + (across.kernel - 1) * across.dilation + 1

    @property
    def taps(self) -> int:
        """Elements that an output is made of: of its rows, then of its columns."""
        return self.rows.kernel * self.columns.stride + self.columns.kernel

    def choices(self) -> tuple[Knob, ...]:
        """How much a chunk is."""
        return (Knob("lines", powers(self.lines, 14), "rows of outputs in a chunk"),)

    def default(self) -> Knobs:
        """Six chunks a thread, if each has enough to do."""
        least = ceildiv(_LEAST_WORK, self.columns.out * self.taps)
        wanted = max(least, self.lines // (6 * self.target.threads))
        return Knobs(floor_power(min(self.lines, wanted)))

    def loops(self, knobs: Knobs) -> Loops:
        """A step is one element of a window."""
        down, across = self.rows, self.columns
        lines = np.minimum(knobs.lines, self.lines)
        line = FLOAT32.nbytes(across.size)
        vectors = ceildiv(across.out, self.lanes)
        steps = self.lines * vectors * self.taps
        return Loops(
            chunks=ceildiv(self.lines, lines),
            sums=across.stride,
            loads=1,
            depth=down.kernel,
            steps=steps,
            work=steps,
            inner=line * down.kernel,
            kept=line * math.ceil(down.kernel / down.stride),
            streamed=self.images * down.size * line,
            chunk=lines * (line * down.stride + FLOAT32.nbytes(across.out)),
        )
