"""Which workloads are depthwise convolutions of whole numbers of 8 or 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...emit.dot_product import DotProduct, fits_tile
from ...emit.dot_products import (
    INT16,
    Sums,
    fused_pairs,
    multiplies,
    pairs,
    sums,
)
from ...ir.dtype import INT32
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import OF_WHOLE, around
from ..channelwise.form import is_depthwise
from ..form import Form
from ..fused import leads
from ..loops import Loops
from ..powers import ceil_power, floor_power, powers
from ..window import Axis, axes, balanced_width


class Knobs(NamedTuple):
    """See ``IntegerChannelwise.choices``."""

    tile_w: int
    vectors: int
    rows: int
    sums: Sums


@dataclass(frozen=True)
class IntegerChannelwise(Form[Knobs]):
    """A convolution of each channel by itself, with sums in int32 and an elementwise epilogue."""

    rows: Axis
    columns: Axis
    batch: int
    channels: int

    name = "channelwise_integer"
    version = 3
    knobs_type = Knobs
    anchors = around(conv2d_integer=OF_WHOLE)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerChannelwise | None:
        """Those of constant weights, with one output for each channel."""
        node = workload.nodes[0]
        if not leads(workload, "conv2d_integer") or not workload.constants[node.args[1]]:
            return None
        source, weights = (workload.tensor(a) for a in node.args)
        if not is_depthwise(workload) or not multiplies(source.element, weights.element):
            return None
        (batch, _, _, channels), (_, high, wide, _) = source.shape, weights.shape
        return cls(workload, target, *axes(node, source, (high, wide)), batch, channels)

    @cached_property
    def lanes(self) -> int:
        """Sums in a vector."""
        return self.target.lanes(INT32)

    def dots(self, sums: Sums) -> DotProduct:
        """What multiplies two taps with their weights."""
        element = self.workload.tensor(self.node.args[1]).element
        if sums == "fused":
            return fused_pairs(element, self.lanes)
        return pairs(element, self.lanes, INT16)

    def choices(self) -> tuple[Knob, ...]:
        """The register tile and the rows of a chunk."""
        widths = tuple(range(1, min(self.columns.out, self.target.vector_registers // 2) + 1))
        vectors = tuple(v for v in (1, 2, 4) if v <= ceildiv(self.channels, self.lanes))
        return (
            Knob("tile_w", widths, "neighbouring outputs in a tile"),
            Knob("vectors", vectors, "vectors of channels"),
            Knob("rows", powers(self.rows.out, 10), "output rows in a chunk"),
            Knob("sums", sums(self.target), "what adds up products"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """Sums, weights, two taps and their product fit the registers."""
        return fits_tile(knobs.tile_w, knobs.vectors, self.target)

    def default(self) -> Knobs:
        """Sums in half of the registers; six chunks a thread, if each has enough to do, which read
        few rows that others read."""
        vectors = 2 if self.channels > self.lanes else 1
        widest = min(self.columns.out, self.target.vector_registers // 2 // vectors)
        chosen = balanced_width(self.columns.out, widest)
        strips = ceildiv(self.channels, vectors * self.lanes)
        rows = self.rows.out * self.batch * strips // (6 * self.target.threads)
        rows = max(rows, min(self.rows.out, 4 * self.rows.kernel))
        rows = min(floor_power(rows), ceil_power(self.rows.out))
        return Knobs(chosen, vectors, rows, sums(self.target)[0])

    def loops(self, knobs: Knobs) -> Loops:
        """A step is a pair of taps."""
        down, across = self.rows, self.columns
        tile_w, vectors, rows = knobs.tile_w, knobs.vectors, np.minimum(knobs.rows, down.out)
        pairs, strips = ceildiv(across.kernel, 2), ceildiv(self.channels, vectors * self.lanes)
        depth, width = down.kernel * pairs, vectors * self.lanes
        outputs, read = self.batch * down.out, (tile_w - 1) * across.stride + across.kernel
        patch = 4 * width * down.kernel * (read + pairs)  # bytes: two taps of 16 bits, and weights
        line = 4 * width * (across.size + across.kernel)
        lines = (rows - 1) * down.stride + down.kernel
        chunks = self.batch * ceildiv(down.out, rows) * strips
        return Loops(
            chunks=chunks,
            sums=tile_w * vectors,
            loads=vectors * (tile_w + 1),
            depth=depth,
            steps=outputs * ceildiv(across.out, tile_w) * strips * depth,
            work=outputs * across.out * strips * vectors * depth,
            inner=patch,
            kept=down.kernel * line,
            streamed=outputs * strips * down.kernel * line,
            chunk=width * (lines * across.size + rows * across.out),
            other=chunks * lines * width * (across.size + across.kernel),
        )
