"""Which workloads are convolutions that the direct method computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities
from .direct import Direct, is_float32


class Conv(Direct):
    """A float32 convolution with an elementwise epilogue: one grid, of all outputs."""

    name = "conv_direct"
    version = 1
    anchors: ClassVar[Mapping[str, Abilities]] = {
        "conv2d": Abilities(writes_apart=True, known_weights=True)
    }

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Conv | None:
        """Any kernel, stride, dilation and groups; weights are constant."""
        if not is_float32(workload, "conv2d"):
            return None
        _, kh, kw, in_c = workload.tensor(workload.nodes[0].args[1]).shape
        return cls(workload, target, (1, 1), (kh, kw, in_c))
