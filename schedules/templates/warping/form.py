"""Where the alignment of two sequences fits. There are no knobs."""

from __future__ import annotations

from typing import NamedTuple

from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..form import Form
from ..loops import Loops, streaming


class Knobs(NamedTuple):
    """None."""


class Warping(Form[Knobs]):
    """A matrix from its first element to its last, and back."""

    name = "warping"
    version = 1
    knobs_type = Knobs
    follows = True
    anchors = around(warp=Abilities(epilogue=False))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Warping | None:
        """Alone."""
        alone = [node.op for node in workload.nodes] == ["warp"]
        return cls(workload, target) if alone else None

    def choices(self) -> tuple[Knob, ...]:
        """None."""
        return ()

    def default(self) -> Knobs:
        """The only one."""
        return Knobs()

    def loops(self, knobs: Knobs) -> Loops:
        """As one pass."""
        return streaming(self.workload, self.target)
