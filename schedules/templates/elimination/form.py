"""Where elimination fits, and its knob."""

from __future__ import annotations

from ...ir.size import at_least
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..by_grain import ByGrain


class Elimination(ByGrain):
    """A matrix after the other, each in a worker's scratch."""

    name = "elimination"
    version = 1
    grains = (1, 16, 256, 4096)
    unit = "elements"
    anchors = around(determinant=Abilities(epilogue=False, any_type=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Elimination | None:
        """Alone."""
        alone = [node.op for node in workload.nodes] == ["determinant"]
        return cls(workload, target) if alone else None

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return at_least(self.workload.inputs[0].size // (6 * self.target.threads), 1)

    @property
    def sizes(self) -> tuple[int, int]:
        """Matrices, and the rows of one."""
        count, rows, _ = self.workload.inputs[0].shape
        return count, rows
