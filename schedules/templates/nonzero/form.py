"""Where the search for what is not zero fits, and its knob."""

from __future__ import annotations

from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..by_grain import ByGrain


class NonZero(ByGrain):
    """The coordinates of the elements of one input, of any type, that are not zero."""

    name = "nonzero"
    version = 1
    grains = (1024, 4096, 16384, 65536)
    unit = "input elements"
    anchors = around(nonzero=Abilities(epilogue=False, any_type=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> NonZero | None:
        """Alone."""
        alone = [node.op for node in workload.nodes] == ["nonzero"]
        return cls(workload, target) if alone else None

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return self.workload.inputs[0].size // (6 * self.target.threads)
