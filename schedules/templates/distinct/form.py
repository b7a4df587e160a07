"""Where the search for different values fits. There are no knobs."""

from __future__ import annotations

from typing import NamedTuple

from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..form import Form
from ..loops import Loops, streaming

# Lists lie one after the other in the scratch, whose offsets have 32 bits.
_MOST = 1 << 26


class Knobs(NamedTuple):
    """None."""


class Distinct(Form[Knobs]):
    """The different rows of a matrix of any type."""

    name = "distinct"
    version = 1
    knobs_type = Knobs
    follows = True
    anchors = around(distinct=Abilities(epilogue=False, any_type=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Distinct | None:
        """Alone."""
        alone = [node.op for node in workload.nodes] == ["distinct"]
        fits = alone and workload.inputs[0].shape[0] <= _MOST
        return cls(workload, target) if fits else None

    def choices(self) -> tuple[Knob, ...]:
        """None."""
        return ()

    def default(self) -> Knobs:
        """The only one."""
        return Knobs()

    def loops(self, knobs: Knobs) -> Loops:
        """As one pass."""
        return streaming(self.workload, self.target)
