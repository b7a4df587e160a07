"""Where the search for different values fits. There are no knobs."""

from __future__ import annotations

from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..alone import Alone

# Lists lie one after the other in the scratch, whose offsets have 32 bits.
_MOST = 1 << 26


class Distinct(Alone):
    """The different rows of a matrix of any type."""

    name = "distinct"
    version = 1
    anchors = around(distinct=Abilities(epilogue=False, any_type=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Alone | None:
        """Alone, and not too long."""
        found = super().match(workload, target)
        return found if found and workload.inputs[0].shape[0] <= _MOST else None
