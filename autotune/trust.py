"""What a record of one machine is worth on another: truth, a winner to inherit, or a hint.

Timings compare within one kind of machine only. A record of another kind may still be right about
which schedule is fast: the closer the machine, the likelier.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import Enum

from luthier.schedules import Target

from .machine import Machine


class Trust(Enum):
    """How close the machine of a record is to the one asked about, the closest first.

    ``EXACT``: the same kind: level, CPU, threads and caches. Its timings are truth.
    ``SAME_CPU``: the same micro-architecture and level; threads or caches differ.
    ``RELATED``: an ancestor, a descendant or a sibling of the micro-architecture, the same level.
    ``HINT``: anything else. It says what to try, and nothing is built from it untried.
    """

    EXACT = "exact"
    SAME_CPU = "same_cpu"
    RELATED = "related"
    HINT = "hint"


_ORDER = list(Trust)


@dataclass(frozen=True)
class Asker:
    """The machine kind that records are wanted for: a target and its micro-architecture."""

    target: Target
    microarchitecture: str

    @staticmethod
    def of(target: Target) -> Asker:
        """This machine, used as ``target``."""
        return Asker(target.machine, Machine.host(target).microarchitecture)

    def trust(self, machine: Machine) -> Trust:
        """What records of ``machine`` are worth here."""
        if machine.target == self.target:
            return Trust.EXACT
        if machine.target.level != self.target.level:
            return Trust.HINT
        if machine.microarchitecture == self.microarchitecture:
            return Trust.SAME_CPU
        related = _are_related(machine.microarchitecture, self.microarchitecture)
        return Trust.RELATED if related else Trust.HINT

    def distance(self, machine: Machine) -> tuple[object, ...]:
        """To sort machines by, the closest first; equal for equal machines only."""
        theirs, ours = machine.target, self.target
        sizes = ((theirs.threads, ours.threads), (theirs.l2, ours.l2), (theirs.l3, ours.l3))
        return (
            _ORDER.index(self.trust(machine)),
            machine.microarchitecture != self.microarchitecture,
            theirs.level != ours.level,
            sum(abs(math.log2(a / b)) for a, b in sizes),
            str(machine.to_json()),
        )


@functools.lru_cache(maxsize=1024)
def _are_related(one: str, other: str) -> bool:
    """Whether both come from one family: generic levels such as x86_64_v3 are none."""
    return bool(_family(one) & _family(other))


def _family(name: str) -> frozenset[str]:
    import archspec.cpu  # noqa: PLC0415 - reads /proc/cpuinfo at import

    known = archspec.cpu.TARGETS.get(name)
    if known is None:
        return frozenset({name})
    line = (known, *known.ancestors)
    return frozenset(cpu.name for cpu in line if cpu.vendor != "generic")
