"""Where TVM's own legalization computes a kernel. There are no knobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ... import ops
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ..form import Form
from ..loops import Loops, streaming


class Knobs(NamedTuple):
    """None."""


@dataclass(frozen=True)
class RelaxOp(Form[Knobs]):
    """A single Relax operator."""

    name = "relax"
    version = 1
    knobs_type = Knobs

    @classmethod
    def match(cls, workload: Workload, target: Target) -> RelaxOp | None:
        """By its name; whether its legalization can be used shows when it is compiled."""
        alone = len(workload.nodes) == 1 and ops.of(workload.nodes[0]).is_fallback
        return cls(workload, target) if alone else None

    def choices(self) -> tuple[Knob, ...]:
        """None."""
        return ()

    def default(self) -> Knobs:
        """The only one."""
        return Knobs()

    def loops(self, knobs: Knobs) -> Loops:
        """Unknown: as one pass."""
        return streaming(self.workload, self.target)
