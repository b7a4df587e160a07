"""Which workloads are depthwise convolutions of whole numbers of 8 or 16 bits."""

from __future__ import annotations

from ...emit.micro_kernel import MicroKernel, whole_multiply_add
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import around
from ..channelwise.form import Channelwise, is_depthwise
from ..conv_integer.form import OF_WHOLE
from ..fused import leads
from ..window import axes


class IntegerChannelwise(Channelwise):
    """A convolution of each channel by itself, with sums in int32 and an elementwise epilogue.

    The knobs and loop nests are those of ``channelwise``.
    """

    name = "channelwise_integer"
    version = 2
    anchors = around(conv2d_integer=OF_WHOLE)

    @property
    def micro(self) -> MicroKernel:
        """Of the operands' types."""
        return whole_multiply_add(*(self.workload.tensor(a).element for a in self.node.args))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerChannelwise | None:
        """Those of constant weights, with one output for each channel."""
        node = workload.nodes[0]
        if not leads(workload, "conv2d_integer") or not workload.constants[node.args[1]]:
            return None
        if not is_depthwise(workload):
            return None
        source, weights = (workload.tensor(a) for a in node.args)
        (batch, _, _, channels), (_, high, wide, _) = source.shape, weights.shape
        return cls(workload, target, *axes(node, source, (high, wide)), batch, channels)
