"""Which workloads are convolutions of whole numbers of 8 or 16 bits."""

from __future__ import annotations

from ...emit.micro_kernel import MicroKernel, whole_multiply_add
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..conv.direct import Direct
from ..fused import leads

OF_WHOLE = Abilities(converts=True, any_type=True, known_weights=True)
"""Of a convolution of whole numbers."""


class IntegerConv(Direct):
    """A convolution of narrow whole numbers with sums in int32, and an elementwise epilogue.

    The knobs and loop nests are those of ``conv_direct``.
    """

    name = "conv_integer"
    version = 2
    anchors = around(conv2d_integer=OF_WHOLE)

    @property
    def micro(self) -> MicroKernel:
        """Of the operands' types."""
        return whole_multiply_add(*(self.workload.tensor(a).element for a in self.node.args))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerConv | None:
        """Any kernel, stride, dilation and groups; weights are constant."""
        if not leads(workload, "conv2d_integer"):
            return None
        weights = workload.nodes[0].args[1]
        if not workload.constants[weights]:
            return None
        _, kh, kw, in_c = workload.tensor(weights).shape
        return cls(workload, target, (1, 1), (kh, kw, in_c))
