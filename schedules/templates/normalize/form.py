"""Where softmax, layer normalisation and their kind fit, and their knob."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ... import ops
from ...ir.dtype import FLOAT32
from ...ir.workload import Node, Workload
from ...target.target import Target
from ..abilities import Abilities
from ..by_grain import ByGrain
from ..fused import position

_ABILITIES = Abilities(prologue=True, passes=3)


@dataclass(frozen=True)
class Normalize(ByGrain):
    """Softmax over one axis, or a norm over the last ones: node number ``where``, in float32."""

    where: int

    name = "normalize"
    version = 1
    grains = (1024, 4096, 16384, 65536)
    unit = "elements"
    anchors: ClassVar[Mapping[str, Abilities]] = dict.fromkeys(
        ("softmax", "log_softmax", "layer_norm", "rms_norm"), _ABILITIES
    )

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Normalize | None:
        """With fusible nodes before and elementwise ones after."""
        where = position(workload)
        if where is None or workload.nodes[where].op not in cls.anchors:
            return None
        floats = workload.nodes[where].out.element == workload.output.element == FLOAT32
        return cls(workload, target, where) if floats else None

    @property
    def node(self) -> Node:
        """The operator."""
        return self.workload.nodes[self.where]

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return self.node.out.size // (6 * self.target.threads)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Outer, extent, inner: what it does is along the extent; inner is 1 for the last axes."""
        shape = self.node.out.shape
        if isinstance(ops.of(self.node), ops.Softmax):
            axis = int(self.node.attr("axis"))
            end = axis + 1
        else:
            end = len(shape)
            axis = end - len(self.workload.tensor(self.node.args[1]).shape)
        return math.prod(shape[:axis]), math.prod(shape[axis:end]), math.prod(shape[end:])
