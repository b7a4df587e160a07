"""Which workloads are depthwise convolutions of whole numbers of 8 or 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from ...emit.dot_product import DotProduct, fits_tile
from ...emit.dot_products import (
    INT16,
    Sums,
    fours,
    fused_pairs,
    layouts,
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
from ..loops import Loops, chosen
from ..powers import ceil_power, floor_power, powers
from ..window import Axis, axes, balanced_width

Taps: TypeAlias = Literal["fours"] | Sums
"""Four taps at once by an instruction that adds their products to sums; or two, and how products of
pairs are added."""


class Knobs(NamedTuple):
    """See ``IntegerChannelwise.choices``."""

    tile_w: int
    vectors: int
    rows: int
    sums: Taps


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

    @cached_property
    def taps(self) -> tuple[Taps, ...]:
        """What adds up products, the fastest first."""
        source, weights = (self.workload.tensor(a).element for a in self.node.args)
        found = sums(self.target)
        return ("fours", *found) if layouts(source, weights, self.target) == ("fours",) else found

    def dots(self, sums: Taps) -> DotProduct:
        """What multiplies neighbouring taps with their weights."""
        source, weights = (self.workload.tensor(a).element for a in self.node.args)
        if sums == "fours":
            return fours(source, self.lanes)
        if sums == "fused":
            return fused_pairs(weights, self.lanes)
        return pairs(weights, self.lanes, INT16)

    def choices(self) -> tuple[Knob, ...]:
        """The register tile and the rows of a chunk."""
        widths = tuple(range(1, min(self.columns.out, self.target.vector_registers // 2) + 1))
        vectors = tuple(v for v in (1, 2, 4) if v <= ceildiv(self.channels, self.lanes))
        return (
            Knob("tile_w", widths, "neighbouring outputs in a tile"),
            Knob("vectors", vectors, "vectors of channels"),
            Knob("rows", powers(self.rows.out, 10), "output rows in a chunk"),
            Knob("sums", self.taps, "what adds up products"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """Sums, weights, some taps and their products fit the registers."""
        return fits_tile(knobs.tile_w, knobs.vectors, self.target)

    def default(self) -> Knobs:
        """Sums in half of the registers; six chunks a thread, if each has enough to do, which read
        few rows that others read."""
        vectors = 2 if self.channels > self.lanes else 1
        widest = min(self.columns.out, self.target.vector_registers // 2 // vectors)
        wide = balanced_width(self.columns.out, widest)
        strips = ceildiv(self.channels, vectors * self.lanes)
        rows = self.rows.out * self.batch * strips // (6 * self.target.threads)
        rows = max(rows, min(self.rows.out, 4 * self.rows.kernel))
        rows = min(floor_power(rows), ceil_power(self.rows.out))
        return Knobs(wide, vectors, rows, self.taps[0])

    def loops(self, knobs: Knobs) -> Loops:
        """A step is a group of taps, of four bytes a channel."""
        down, across = self.rows, self.columns
        tile_w, vectors, rows = knobs.tile_w, knobs.vectors, np.minimum(knobs.rows, down.out)
        groups = chosen(
            knobs.sums, {x: ceildiv(across.kernel, self.dots(x).steps) for x in self.taps}
        )
        strips = ceildiv(self.channels, vectors * self.lanes)
        depth, width = down.kernel * groups, vectors * self.lanes
        outputs, read = self.batch * down.out, (tile_w - 1) * across.stride + across.kernel
        patch = 4 * width * down.kernel * (read + groups)  # bytes: taps, and weights
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
