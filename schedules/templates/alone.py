"""Forms of operators that are computed by themselves, nothing before or after them."""

from __future__ import annotations

from typing import NamedTuple

from ..ir.space import Knob
from ..ir.workload import Workload
from ..target.target import Target
from .by_grain import ByGrain
from .form import Form
from .loops import Loops, streaming


class NoKnobs(NamedTuple):
    """There is one schedule."""


class Alone(Form[NoKnobs]):
    """A kernel that has one schedule."""

    knobs_type = NoKnobs
    follows = True

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Alone | None:
        """One of the anchors, alone."""
        return cls(workload, target) if _is_alone(workload, cls) else None

    def choices(self) -> tuple[Knob, ...]:
        """None."""
        return ()

    def default(self) -> NoKnobs:
        """The only one."""
        return NoKnobs()

    def loops(self, knobs: NoKnobs) -> Loops:
        """As one pass."""
        return streaming(self.workload, self.target)


class AloneByGrain(ByGrain):
    """A kernel whose one knob is how much of its first input a chunk takes."""

    @classmethod
    def match(cls, workload: Workload, target: Target) -> AloneByGrain | None:
        """One of the anchors, alone."""
        return cls(workload, target) if _is_alone(workload, cls) else None

    @property
    def wanted(self) -> int:
        """Six chunks a thread."""
        return self.workload.inputs[0].size // (6 * self.target.threads)


def _is_alone(workload: Workload, form: type[Alone] | type[AloneByGrain]) -> bool:
    return len(workload.nodes) == 1 and workload.nodes[0].op in form.anchors
