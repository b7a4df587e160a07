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
from luthier.schedules.target.processors import PROCESSORS

from .machine import Machine


class Trust(Enum):
    """How close the machine of a record is to the one asked about, the closest first.

    ``EXACT``: the same kind: level, CPU, threads and caches. Its timings are truth.
    ``SAME_CPU``: the same micro-architecture and level; threads or caches differ.
    ``RELATED``: an ancestor, a descendant or a sibling of the micro-architecture, the same level;
    for a level, which is not a processor, all of that level.
    ``HINT``: anything else. It says what to try, and nothing is built from it untried.
    """

    EXACT = "exact"
    SAME_CPU = "same_cpu"
    RELATED = "related"
    HINT = "hint"


_ORDER = list(Trust)


@dataclass(frozen=True)
class Asker:
    """The machine kind that records are wanted for: a target and its micro-architecture.

    It follows from the target alone where that is a level or a processor that is known by name, so
    that the answer is the same whatever machine asks.
    """

    target: Target
    microarchitecture: str

    @staticmethod
    def of(target: Target) -> Asker:
        """Who wants records for ``target``."""
        named = _named(target.cpu)
        return Asker(target.machine, named or microarchitecture(Machine.host(target)))

    def trust(self, machine: Machine) -> Trust:
        """What records of ``machine`` are worth here."""
        if machine.target.plain == self.target.plain:
            return Trust.EXACT
        if machine.target.level != self.target.level:
            return Trust.HINT
        theirs = microarchitecture(machine)
        if theirs == self.microarchitecture or machine.target.cpu == self.target.cpu:
            return Trust.SAME_CPU
        related = self.target.is_generic or _are_related(theirs, self.microarchitecture)
        return Trust.RELATED if related else Trust.HINT

    def distance(self, machine: Machine) -> tuple[object, ...]:
        """To sort machines by, the closest first; equal for equal machines only."""
        theirs, ours = machine.target, self.target
        sizes = ((theirs.threads, ours.threads), (theirs.l2, ours.l2), (theirs.l3, ours.l3))
        return (
            _ORDER.index(self.trust(machine)),
            microarchitecture(machine) != self.microarchitecture,
            theirs.level != ours.level,
            sum(abs(math.log2(a / b)) for a, b in sizes),
            str(machine.to_json()),
        )


def microarchitecture(machine: Machine) -> str:
    """archspec's name of a machine's micro-architecture.

    Where a hypervisor hides features, archspec sees a level, and LLVM still the processor.
    """
    if _is_level(machine.microarchitecture):
        return _named(machine.target.cpu) or machine.microarchitecture
    return machine.microarchitecture


def processor(machine: Machine) -> tuple[str, str]:
    """Whose it is, and its micro-architecture: all that tells a level's machines apart."""
    return machine.vendor, microarchitecture(machine)


@functools.lru_cache(maxsize=1024)
def _named(cpu: str) -> str | None:
    """archspec's name for LLVM's name of a processor, or of a level; None where it is not known."""
    import archspec.cpu  # noqa: PLC0415 - reads /proc/cpuinfo at import

    if cpu in PROCESSORS:
        return PROCESSORS[cpu].microarchitecture
    name = cpu.replace("-", "_")
    return name if name in archspec.cpu.TARGETS else None


def _is_level(name: str) -> bool:
    import archspec.cpu  # noqa: PLC0415 - reads /proc/cpuinfo at import

    known = archspec.cpu.TARGETS.get(name)
    return known is not None and known.vendor == "generic"


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
