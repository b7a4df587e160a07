"""Which value of one program stands for which of another, where both do the same to other sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from ..program import Branch, Call, Loop, Program, Step
from ..program.steps import walk
from .keys import Keys


class NotAlikeError(Exception):
    """Programs differ by more than by numbers that follow from the sizes; says by what."""


class OtherTableError(NotAlikeError):
    """What a constant is follows from the sizes by no rule that is known."""


class Alignment:
    """``at[v]`` is the value of ``other`` that stands for ``v`` of ``base``.

    Both programs have the same steps over the same values, in any order, in the same loops and
    branches. Raises NotAlikeError.
    """

    def __init__(self, of: Keys, others: Keys) -> None:
        base, other = of.program, others.program
        self.base, self.other = base, other
        ours, theirs = of.constants, others.constants
        # Of constants that are as large as was found, some may have equal elements, or those of
        # others in the other program.
        counts = [Counter(marks.values()) for marks in (ours, theirs)]
        both = frozenset(each for each, n in counts[0].items() if n == counts[1][each])
        places: dict[str, list[int]] = defaultdict(list)
        for value, key in sorted(others.values(both).items()):
            places[key].append(value)
        self.at: dict[int, int] = {}
        for value, key in sorted(of.values(both).items()):
            if not places[key]:
                is_table = base.base(value) in base.constants
                error = OtherTableError if is_table else NotAlikeError
                raise error(f"{title(base, value)} is another for other sizes")
            self.at[value] = places[key].pop(0)
        self._check()

    def _check(self) -> None:
        base, other, at = self.base, self.other, self.at
        steps = [sum(1 for _ in walk(program.region)) for program in (base, other)]
        if len(base.values) != len(other.values) or steps[0] != steps[1]:
            raise NotAlikeError("there are more kernels for some sizes than for others")
        for value, (within,) in base.within.items():
            if (at[within],) != other.within.get(at[value]):
                raise NotAlikeError(f"{title(base, value)} lies elsewhere for other sizes")
        if [(name, at[value]) for name, value in base.outputs] != list(other.outputs):
            raise NotAlikeError("the outputs are others for other sizes")
        if [(name, at[value]) for name, value in base.inputs] != list(other.inputs):
            raise NotAlikeError("the inputs are others for other sizes")
        flows = {step.results: step for step in _flows(other)}
        for step in _flows(base):
            found = flows.get(tuple(at[value] for value in step.results))
            if found is None or _ends(step.renumbered(at)) != _ends(found):
                raise NotAlikeError(f"{_named(step)} does something else for other sizes")

    @cached_property
    def _calls(self) -> dict[int, Call]:
        return {call.result: call for call in self.other.calls}

    def call(self, call: Call) -> Call:
        """What stands for a call of the base; raises NotAlikeError."""
        found = self._calls[self.at[call.result]]
        if tuple(self.at[arg] for arg in call.args) != found.args:
            raise NotAlikeError(f"{call.source or call.workload} reads others for other sizes")
        return found


def title(program: Program, value: int) -> str:
    """What a value is, for people."""
    call = next((c for c in program.calls if c.result == value), None)
    if call is None:
        return f"a value of type {program.values[value]}"
    return call.source or str(call.workload)


def _flows(program: Program) -> Iterator[Loop | Branch]:
    """Its loops and branches."""
    return (step for step in walk(program.region) if isinstance(step, Loop | Branch))


def _ends(step: Loop | Branch) -> tuple[Any, ...]:
    """What it has but for the order of what it runs."""
    controls = step.controls if isinstance(step, Loop) else {"condition": step.condition}
    carried = step.carried if isinstance(step, Loop) else ()
    regions = [(r.parameters, r.results, sorted(r.defined)) for r in step.regions]
    return type(step), controls, carried, step.results, regions


def _named(step: Step) -> str:
    return step.source or type(step).__name__
