"""Where sums and products of all elements up to each place fit, and their knob."""

from __future__ import annotations

import math

from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..by_grain import ByGrain

_ALONE = Abilities(epilogue=False, any_type=True)


class Scan(ByGrain):
    """One pass along each row, of any type."""

    name = "scan"
    version = 1
    grains = (1024, 4096, 16384, 65536)
    unit = "input elements"
    anchors = around(cumsum=_ALONE, cumprod=_ALONE)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Scan | None:
        """Alone."""
        alone = [node.op for node in workload.nodes] in (["cumsum"], ["cumprod"])
        return cls(workload, target) if alone else None

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return self.workload.inputs[0].size // (6 * self.target.threads)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Outer, extent, inner: rows are along the extent."""
        shape, axis = self.workload.inputs[0].shape, int(self.node.attr("axis"))
        return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
