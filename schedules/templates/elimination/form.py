"""Where elimination fits, and its knob."""

from __future__ import annotations

from ...ir.size import at_least
from ..abilities import Abilities, around
from ..alone import AloneByGrain


class Elimination(AloneByGrain):
    """A matrix after the other, each in a worker's scratch."""

    name = "elimination"
    version = 1
    grains = (1, 16, 256, 4096)
    unit = "elements"
    anchors = around(determinant=Abilities(epilogue=False, any_type=True))

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return at_least(super().wanted, 1)

    @property
    def sizes(self) -> tuple[int, int]:
        """Matrices, and the rows of one."""
        count, rows, _ = self.workload.inputs[0].shape
        return count, rows
