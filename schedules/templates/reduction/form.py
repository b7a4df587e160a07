"""Where reductions fit, and their knob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ...ir.workload import Node, Workload
from ...target.target import Target
from ..abilities import Abilities
from ..by_grain import ByGrain
from ..fused import position

_ABILITIES = Abilities(
    prologue=True, converts=True, reads_apart=True, writes_apart=True, any_type=True
)


@dataclass(frozen=True)
class Reduction(ByGrain):
    """A reduction, node number ``where``, with fusible nodes before and elementwise ones after."""

    where: int

    name = "reduction"
    version = 1
    grains = (4096, 16384, 65536, 262144)
    unit = "input elements"
    anchors: ClassVar[Mapping[str, Abilities]] = dict.fromkeys(
        ("sum", "mean", "max", "min", "prod"), _ABILITIES
    )

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Reduction | None:
        """Over any axes, of any type."""
        where = position(workload)
        if where is None or workload.nodes[where].op not in cls.anchors:
            return None
        return cls(workload, target, where)

    @property
    def node(self) -> Node:
        """The reduction."""
        return self.workload.nodes[self.where]

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return self.workload.tensor(self.node.args[0]).size // (6 * self.target.threads)
