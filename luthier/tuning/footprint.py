"""How much memory one run of a model goes through, and whether that stays in the caches."""

from __future__ import annotations

from luthier.frontend import Program
from luthier.schedules import Target


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
    first: dict[int, int] = {program.place(v).whole: 0 for _, v in program.inputs}
    last = dict(first)
    for number, call in enumerate(program.calls):
        for value in (*call.args, call.result):
            whole = program.place(value).whole
            first.setdefault(whole, number)
            last[whole] = number
    last |= {program.place(v).whole: len(program.calls) for _, v in program.outputs}
    change = [0] * (len(program.calls) + 2)
    for value, begin in first.items():
        if value not in program.constants:
            change[begin] += program.values[value].nbytes
            change[last[value] + 1] -= program.values[value].nbytes
    alive = most = 0
    for step in change:
        alive += step
        most = max(most, alive)
    return most
