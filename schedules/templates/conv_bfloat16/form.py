"""Which convolutions may be computed in bfloat16, and what is chosen without measuring."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from ...emit.bfloat16 import PAIRS, cycles, multiplies_bfloat16, tile_rows
from ...emit.dot_product import DotProduct
from ...emit.dot_products import Layout
from ...ir.dtype import FLOAT32, DType
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, around
from ..conv_integer.form import IntegerConv, Knobs
from ..fused import has_weights
from ..powers import powers
from ..rounding import may_round
from ..window import axes, balanced_width

# Cycles: to begin and end a tile, and to store a vector of it; to fetch a byte from beyond L2; to
# round an element into scratch; to claim and begin a chunk.
_AROUND, _STORED = 30.0, 2.0
_FETCHED = 1 / 16
_ROUNDED = 0.1
_CHUNK = 250.0
_LEAST_CHANNELS = 4  # of a group, beside which too many lanes are idle


@dataclass(frozen=True)
class Bfloat16Conv(IntegerConv):
    """A convolution of float32 whose operands are rounded to bfloat16, and an elementwise epilogue.

    Knobs and loop nests are those of whole numbers in pairs.
    """

    name = "conv_bfloat16"
    version = 1
    anchors = around(conv2d=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Conv | None:
        """Any kernel, stride and dilation, and groups of some channels, where operands may be
        rounded; weights are constant."""
        if not may_round(workload, target) or not multiplies_bfloat16(target):
            return None
        if not has_weights(workload, "conv2d"):
            return None
        node = workload.nodes[0]
        _, high, wide, _ = workload.tensor(node.args[1]).shape
        window = axes(node, workload.tensor(node.args[0]), (high, wide))
        form = cls(workload, target, *window)
        return form if form.per_group >= _LEAST_CHANNELS or form.groups == 1 else None

    @property
    def types(self) -> tuple[DType, DType]:
        """Of both operands before they are rounded."""
        return FLOAT32, FLOAT32

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """In pairs."""
        return ("words",)

    def dots(self, layout: Layout) -> DotProduct:
        """What multiplies."""
        return PAIRS

    def packing(self, layout: Layout) -> DotProduct:
        """The same."""
        return PAIRS

    def default(self) -> Knobs:
        """What takes fewest cycles; rows of images are rounded by each chunk that reads them."""
        tile_w, count = self._tile()
        threads, half = self.target.threads, self.target.l2 // 2
        panels = self.groups * ceildiv(self.group_vectors, count)
        panel, out_h = self._panel_bytes(count), self.rows.out
        images, line = self.node.out.shape[0], self.line_bytes // self.micro.a.bytes
        row = self._row(tile_w, count)
        fetched = panel * _FETCHED * (panel * panels > half)

        def cost(blocks: tuple[int, int]) -> tuple[bool, float]:
            rows, some = min(blocks[0], out_h), min(blocks[1], panels)
            chunks = images * ceildiv(out_h, rows) * ceildiv(panels, some)
            brought = self.lines(rows) * line * _ROUNDED
            each = some * (rows * row + fetched) + brought + _CHUNK
            large = rows > 1 and self.lines(rows) * self.line_bytes > half
            return large, (ceildiv(chunks, threads) + (threads > 1) / 2) * each

        blocks = itertools.product(powers(out_h, 12), powers(panels, 12))
        rows, some = min(blocks, key=cost)
        return Knobs(tile_w, count, rows, some, "panels", "words")

    def _tile(self) -> tuple[int, int]:
        """Outputs and vectors of the register tile."""
        target = self.target

        def width(count: int) -> int:
            return balanced_width(self.columns.out, tile_rows(count, target))

        def cost(count: int) -> tuple[float, int]:
            return ceildiv(self.group_vectors, count) * self._row(width(count), count), -count

        count = min(self.vectors, key=cost)
        return width(count), count

    def _row(self, tile_w: int, count: int) -> float:
        """Cycles of a row of outputs and a panel."""

        def tile(width: int) -> float:
            each = cycles(width, count, self.target)
            return self.steps * each + _AROUND + width * count * _STORED

        full, rest = divmod(self.columns.out, tile_w)
        return full * tile(tile_w) + (tile(rest) if rest else 0)

    def estimate(self) -> float:
        """The cycles of the default's arithmetic, in operations at full speed, or fetching the
        weights where that takes longer."""
        tile_w, count = self._tile()
        costs = self.target.costs
        panels = self.groups * ceildiv(self.group_vectors, count)
        rows = self.node.out.shape[0] * self.rows.out * panels
        each = 2 * costs.multiply_adds * self.lanes
        fetched = self._panel_bytes(count) * panels * costs.fetched_byte
        return max(rows * self._row(tile_w, count) * each, fetched)
