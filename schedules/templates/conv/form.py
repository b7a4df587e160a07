"""Which workloads are convolutions that the direct method computes."""

from __future__ import annotations

import math

from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import WEIGHED, around
from ..fused import has_weights
from ..window import axes
from .direct import Direct


class Conv(Direct):
    """A float32 convolution with an elementwise epilogue: one grid, of all outputs."""

    name = "conv_direct"
    version = 2
    anchors = around(conv2d=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Conv | None:
        """Any kernel, stride, dilation and groups; weights are constant."""
        if not has_weights(workload, "conv2d"):
            return None
        _, kh, kw, in_c = workload.tensor(workload.nodes[0].args[1]).shape
        return cls(workload, target, (1, 1), (kh, kw, in_c))

    @property
    def inside(self) -> float:
        """Without dilation nearly all."""
        high, wide, _ = self.window
        source = self.workload.tensor(self.node.args[0])
        sides = axes(self.node, source, (high, wide))
        return math.prod(side.share for side in sides if side.dilation > 1)
