"""Where the coupling of probabilities fits, and its knob."""

from __future__ import annotations

from ...ir.size import at_least
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..by_grain import ByGrain


class Coupling(ByGrain):
    """A row after the other."""

    name = "coupling"
    version = 1
    grains = (16, 256, 4096)
    unit = "input elements"
    anchors = around(coupling=Abilities(epilogue=False))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Coupling | None:
        """Alone."""
        alone = [node.op for node in workload.nodes] == ["coupling"]
        return cls(workload, target) if alone else None

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return at_least(self.workload.inputs[0].size // (6 * self.target.threads), 1)
