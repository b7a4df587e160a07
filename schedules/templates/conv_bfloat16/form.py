"""Which convolutions may be computed in bfloat16, and what is chosen without measuring."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from ...emit.bfloat16 import bfloat16_layouts, bfloat16_product
from ...emit.dot_product import DotProduct
from ...emit.dot_products import Layout
from ...ir.dtype import FLOAT32
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, around
from ..conv_integer.form import IntegerConv, Knobs
from ..fused import has_weights
from ..powers import powers
from ..rounding import (
    FETCHED,
    ROUNDED,
    Rounding,
    chunks_cycles,
    in_float32,
    may_round,
    tile_cycles,
)
from ..window import axes

_LEAST_CHANNELS = 4  # of a group, beside which too many lanes are idle


@dataclass(frozen=True)
class Bfloat16Conv(Rounding, IntegerConv):
    """A convolution of float32 whose operands are rounded to bfloat16, and an elementwise epilogue.

    Knobs and loop nests are those of whole numbers.
    """

    name = "conv_bfloat16"
    version = 3
    anchors = around(conv2d=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Conv | None:
        """Any kernel, stride and dilation, and groups of some channels, where operands may be
        rounded; weights are constant."""
        if not may_round(workload, target) or not bfloat16_layouts(target):
            return None
        if not has_weights(in_float32(workload), "conv2d"):
            return None
        node = workload.nodes[0]
        _, high, wide, _ = workload.tensor(node.args[1]).shape
        window = axes(node, workload.tensor(node.args[0]), (high, wide))
        form = cls(workload, target, *window)
        return form if form.per_group >= _LEAST_CHANNELS or form.groups == 1 else None

    def micro(self, layout: Layout) -> DotProduct:
        """What multiplies."""
        return bfloat16_product(layout, self.runs[1])

    def default(self) -> Knobs:
        """What takes fewest cycles; rows of images are rounded by each chunk that reads them."""
        layout, tile_w, count = self._chosen()
        half, line = self.target.l2 // 2, self.line_bytes(layout)
        panels = self.groups * ceildiv(self.group_vectors, count)
        panel, out_h = self._panel_bytes(count, layout), self.rows.out
        images = self.node.out.shape[0]
        each_brought = ROUNDED * self.types[0].bytes / FLOAT32.bytes
        fetched = panel * FETCHED * (panel * panels > half)

        def cost(blocks: tuple[int, int]) -> tuple[bool, float]:
            rows, some = min(blocks[0], out_h), min(blocks[1], panels)
            chunks = images * ceildiv(out_h, rows) * ceildiv(panels, some)
            brought = self.lines(rows) * line // self.micro(layout).a.bytes * each_brought
            each = some * (self._rows(layout, tile_w, count, rows) + fetched) + brought
            large = rows > 1 and self.lines(rows) * line > half
            return large, chunks_cycles(chunks, each, self.target)

        blocks = itertools.product(powers(out_h, 12), powers(panels, 12))
        rows, some = min(blocks, key=cost)
        return Knobs(tile_w, count, rows, some, "panels", layout)

    def _taken(self, layout: Layout, tile_w: int, count: int) -> float:
        """Cycles of a row of outputs and all channels of a group."""
        return float(ceildiv(self.group_vectors, count) * self._row(layout, tile_w, count))

    def _row(self, layout: Layout, tile_w: int, count: int) -> float:
        """Cycles of a row of outputs and a panel."""
        return self.of_row(layout, tile_w, self._tile_of(layout, count))

    def _rows(self, layout: Layout, tile_w: int, count: int, rows: int) -> float:
        """The same of so many rows of a chunk."""
        return self.of_rows(layout, tile_w, rows, self._tile_of(layout, count))

    def _tile_of(self, layout: Layout, count: int) -> Callable[[int], float]:
        """Cycles of a tile of so many vectors, by its outputs."""
        micro, depth = self.micro(layout), self.depth(layout)
        return lambda width: tile_cycles(micro, depth, width, count, self.target)

    def estimate(self) -> float:
        """The cycles of the default's arithmetic, in operations at full speed, or fetching the
        weights where that takes longer."""
        knobs, costs, out_h = self.default(), self.target.costs, self.rows.out
        layout, tile_w, count = knobs.weights, knobs.tile_w, knobs.vectors
        panels, high = self.groups * ceildiv(self.group_vectors, count), min(knobs.rows, out_h)
        blocks = self.node.out.shape[0] * panels * ceildiv(out_h, high)
        each = 2 * costs.multiply_adds * self.lanes
        fetched = self._panel_bytes(count, layout) * panels * costs.fetched_byte
        return max(blocks * self._rows(layout, tile_w, count, high) * each, fetched)
