"""Which workloads are maxima of windows of whole numbers of 8 bits."""

from __future__ import annotations

from functools import cached_property

from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD, MicroKernel
from ...ir.dtype import DType
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..channelwise.form import Channelwise
from ..fused import leads
from ..window import axes

_POOL = Abilities(reads_apart=True, writes_apart=True, any_type=True)


class IntegerPool(Channelwise):
    """A maximum over the windows of each channel by itself, with an elementwise epilogue.

    The knobs and loop nests are those of ``channelwise``.
    """

    name = "pool_integer"
    version = 1
    anchors = around(max_pool2d=_POOL)

    @property
    def element(self) -> DType:
        """Of the input and the result."""
        return self.node.out.element

    @cached_property
    def lanes(self) -> int:
        """Elements in a vector."""
        return self.target.lanes(self.element)

    @property
    def micro(self) -> MicroKernel:
        """What is combined stays as narrow as it is."""
        element = self.element
        return MicroKernel(element, element, 1, FLOAT32_MULTIPLY_ADD.emit, element)

    @property
    def lowest(self) -> float:
        """What no element is below."""
        return self.element.limits[0]

    @classmethod
    def match(cls, workload: Workload, target: Target) -> IntegerPool | None:
        """Those of 8 bits."""
        node = workload.nodes[0]
        if not leads(workload, "max_pool2d") or node.out.dtype not in ("int8", "uint8"):
            return None
        source = workload.tensor(node.args[0])
        batch, _, _, channels = source.shape
        return cls(workload, target, *axes(node, source, node.attr("kernel")), batch, channels)
