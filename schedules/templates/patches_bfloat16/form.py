"""Which convolutions are products of bfloat16 with what each output reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...emit.bfloat16 import BITS, bfloat16_layouts
from ...emit.dot_products import Layout
from ...emit.whole_tiles import ROWS
from ...ir.size import Size
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import WEIGHED, around
from ..fused import has_weights
from ..gemm.product import Product, is_pointwise
from ..gemm_bfloat16.form import Bfloat16Gemm
from ..rounding import in_float32, may_round
from ..window import Axis, axes

_BROUGHT = 0.25  # cycles, measured on Emerald Rapids


@dataclass(frozen=True)
class Bfloat16Patches(Bfloat16Gemm):
    """A convolution whose outputs are so few that all they read fits half of L2, and whose rows
    fill half a tile at most (*im2col*; Chellapilla, Puri and Simard, *High Performance
    Convolutional Neural Networks for Document Processing*, 2006)."""

    down: Axis = field(kw_only=True)
    across: Axis = field(kw_only=True)

    name = "patches_bfloat16"
    version = 1
    anchors = around(conv2d=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Patches | None:
        """Of one group, by whole tiles, where operands may be rounded."""
        if not may_round(workload, target) or "tiles" not in bfloat16_layouts(target):
            return None
        wide = in_float32(workload)
        if not has_weights(wide, "conv2d") or is_pointwise(wide):
            return None
        node = workload.nodes[0]
        (a, b), out = node.args, node.out.shape
        source, (o, *taps, c) = workload.tensor(a), workload.tensor(b).shape
        if node.attr("groups") > 1 or any(isinstance(n, Size) for n in (*source.shape, *out)):
            return None
        m, k = out[0] * out[1] * out[2], taps[0] * taps[1] * c
        if BITS.nbytes(m * k) > target.l2 // 2 or 2 * out[2] > ROWS:
            return None
        down, across = axes(node, source, (taps[0], taps[1]))
        p = Product(a, b, (), m, o, k, True, True)
        return cls(workload, target, p, down=down, across=across)

    @property
    def brought(self) -> float:
        """It goes to L2."""
        return _BROUGHT

    def gathers(self, layout: Layout) -> bool:
        """Always."""
        return True

    def estimate(self) -> float:
        """The cycles of the default's arithmetic and of bringing what it reads together, in
        operations at full speed, or fetching the weights where that takes longer."""
        p, costs, knobs = self.product, self.target.costs, self.default()
        taken = self._taken(knobs.rows, knobs.vectors, knobs.weights)
        taken += self.brought * p.m * p.k
        each = 2 * costs.multiply_adds * self.lanes
        return max(taken * each, BITS.nbytes(p.n * p.k) * costs.fetched_byte)
