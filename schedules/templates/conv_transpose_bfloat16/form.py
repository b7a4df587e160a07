"""Which transposed convolutions are products in bfloat16."""

from __future__ import annotations

from dataclasses import dataclass

from ...emit.bfloat16 import LANES, bfloat16_layouts
from ...ir.size import Size
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import WEIGHED, around
from ..fused import has_weights
from ..gemm.product import Product
from ..gemm_bfloat16.form import Bfloat16Gemm
from ..rounding import in_float32, may_round


@dataclass(frozen=True)
class Bfloat16ConvTranspose(Bfloat16Gemm):
    """A transposed convolution whose taps are as many as its strides: each output is of one pixel
    and one tap. It is a product of pixels and of all taps' channels, side by side."""

    name = "conv_transpose_bfloat16"
    version = 1
    anchors = around(conv2d_transpose=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16ConvTranspose | None:
        """Of whole vectors of channels, where operands may be rounded."""
        if not may_round(workload, target) or not bfloat16_layouts(target):
            return None
        if not has_weights(in_float32(workload), "conv2d_transpose"):
            return None
        node = workload.nodes[0]
        (n, h, w, c), (_, *taps, o) = (workload.tensor(a).shape for a in node.args)
        apart = list(node.attr("strides")) == taps and node.attr("groups") == 1
        whole = node.out.shape == (n, h * taps[0], w * taps[1], o) and not any(node.attr("pads"))
        if not apart or not whole or node.attr("dilations") != (1, 1) or o % LANES:
            return None
        if any(isinstance(x, Size) for x in (n, h, w)):
            return None
        source, weights = node.args
        columns = taps[0] * taps[1] * o
        p = Product(source, weights, (), n * h * w, columns, c, False, True)
        return cls(workload, target, p)

    @property
    def vectors(self) -> tuple[int, ...]:
        """As of products, where panels do not reach from one tap to the next."""
        channels = self.node.out.shape[-1]
        return tuple(v for v in super().vectors if channels % (v * self.lanes) == 0)
