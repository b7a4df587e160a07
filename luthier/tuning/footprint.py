"""How much memory one run of a model goes through, and whether that stays in the caches."""

from __future__ import annotations

from collections.abc import Iterable

from luthier.frontend import Program
from luthier.frontend.program import Step
from luthier.schedules import Target
from luthier.schedules.ir.core import Region


def stays_in_cache(program: Program, target: Target) -> bool:
    """Whether all weights and activations fit into the last cache.

    Then each run finds the weights where the one before left them.
    """
    return weight_bytes(program) + activation_bytes(program) <= target.l3


def stays_in_own_cache(program: Program, target: Target) -> bool:
    """Whether they all fit into the caches that each core has for itself."""
    return weight_bytes(program) + activation_bytes(program) <= target.l2


def weight_bytes(program: Program) -> int:
    """Bytes of the constants that a run reads."""
    read = {program.base(arg) for call in program.calls for arg in call.args}
    return sum(program.values[value].nbytes for value in read & program.constants.keys())


def activation_bytes(program: Program) -> int:
    """Bytes of the values that are alive at once, at most; inputs and outputs among them."""
    lives = _Lives(program)
    lives.use((v for _, v in program.inputs))
    lives.follow(program.region)
    lives.use((v for _, v in program.outputs))
    first, last = lives.first, lives.last
    change = [0] * (lives.time + 2)
    for value, begin in first.items():
        if value not in program.constants:
            change[begin] += program.values[value].nbytes
            change[last[value] + 1] -= program.values[value].nbytes
    alive = most = 0
    for step in change:
        alive += step
        most = max(most, alive)
    return most


class _Lives:
    """When values are used first and last, by the value that they lie in."""

    def __init__(self, program: Program) -> None:
        self.program, self.time = program, 0
        self.first: dict[int, int] = {}
        self.last: dict[int, int] = {}

    def use(self, values: Iterable[int]) -> None:
        """Of values that are read or made now."""
        for value in values:
            whole = self.program.place(value).whole
            self.first.setdefault(whole, self.time)
            self.last[whole] = self.time

    def follow(self, region: Region[Step]) -> None:
        """One step after the other; what a loop reads is used until its end."""
        self.use(region.parameters)
        for step in region.statements:
            self.use(step.reads)
            for inner in step.regions:
                self.follow(inner)
            self.use((*step.reads, *step.defines))
            self.time += 1
        self.use(region.results)
