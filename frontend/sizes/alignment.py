"""Which value of one program stands for which of another, where both do the same to other sizes."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from luthier.schedules.ir.core import Region
from luthier.schedules.ir.workload import Node

from ..graph.arrays import Mark, mark
from ..program import Branch, Call, Loop, Program, Step
from ..program.steps import walk
from .computed import may_be_computed

_Told: TypeAlias = tuple[Mark, str]
"""What tells a constant: its elements, and which calls read it."""


class NotAlikeError(Exception):
    """Programs differ by more than by numbers that follow from the sizes; says by what."""


class OtherTableError(NotAlikeError):
    """What a constant is follows from the sizes by no rule that is known."""


def structure(program: Program) -> str:
    """A hash of all but the numbers: equal for programs that may be alike."""
    keys = _keys(program, {})
    ends = [(name, keys[value]) for name, value in (*program.inputs, *program.outputs)]
    return hashlib.sha256(repr(ends).encode()).hexdigest()


class Alignment:
    """``at[v]`` is the value of ``other`` that stands for ``v`` of ``base``.

    Both programs have the same steps over the same values, in any order, in the same loops and
    branches. Raises NotAlikeError.
    """

    def __init__(self, base: Program, other: Program) -> None:
        self.base, self.other = base, other
        ours, theirs = _marks(base), _marks(other)
        # Of constants that are as large as was found, some may have equal elements, or those of
        # others in the other program.
        counts = [Counter(marks.values()) for marks in (ours, theirs)]
        both = {each for each, count in counts[0].items() if count == counts[1][each]}
        places: dict[str, list[int]] = defaultdict(list)
        for value, key in sorted(_keys(other, _among(theirs, both)).items()):
            places[key].append(value)
        self.at: dict[int, int] = {}
        for value, key in sorted(_keys(base, _among(ours, both)).items()):
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


def _marks(program: Program) -> dict[int, _Told]:
    """Of constants. One that may be computed from sizes has none: it may happen to be another."""
    arrays, read = program.constants.items(), _read(program, {})
    return {v: (mark(array), read[v]) for v, array in arrays if not may_be_computed(array)}


def _among(marks: dict[int, _Told], both: Collection[_Told]) -> dict[int, _Told]:
    return {value: each for value, each in marks.items() if each in both}


class _Made(NamedTuple):
    """What a value is computed by: a text, and the values that are read."""

    text: str
    needs: tuple[int, ...]


def _keys(program: Program, marks: dict[int, _Told]) -> dict[int, str]:
    """Of each value what it is computed by, without numbers; constants are told apart by marks."""
    made, named = _made(program), defaultdict[int, list[str]](list)
    for name, value in program.outputs:
        named[value].append(name)
    made |= {value: _Made(text, ()) for value, text in _read(program, marks).items()}
    keys: dict[int, str] = {}
    pending = list(range(len(program.values)))
    while pending:
        value = pending[-1]
        if value in keys:
            pending.pop()
            continue
        what, needs = made.get(value, _Made("", ()))
        missing = [v for v in needs if v not in keys]
        pending += missing
        if missing:
            continue
        tensor = program.values[value]
        known = [keys[v] for v in needs]
        text = repr(
            (what, marks.get(value), tensor.dtype, len(tensor.shape), known, named.get(value))
        )
        keys[value] = hashlib.sha256(text.encode()).hexdigest()
    return keys


def _made(program: Program) -> dict[int, _Made]:
    """Of each value that is not a constant."""
    made = {value: _Made(f"input {name}", ()) for name, value in program.inputs}
    made |= {value: _Made("", tuple(pieces)) for value, pieces in program.pieces.items()}
    made |= {value: _Made("", (base,)) for value, base in program.views.items()}
    _add_made(program.region, _Made("", ()), made)
    return made


def _read(program: Program, marks: Collection[int]) -> dict[int, str]:
    """Of each constant that has no mark, by which calls it is read: where some are made earlier or
    later for other sizes, their order tells nothing."""
    told: dict[int, set[str]] = {v: set() for v in program.constants if v not in marks}
    for step in walk(program.region):
        if isinstance(step, Call):
            text = _call_text(step)
            for place, value in enumerate(step.args):
                base = program.base(value)
                if base in told:
                    told[base].add(f"argument {place} of {text}")
    return {value: repr(sorted(texts)) for value, texts in told.items()}


def _add_made(region: Region[Step], around: _Made, made: dict[int, _Made]) -> None:
    """Of what a region's steps define; ``around`` tells where it is."""
    for step in region.statements:
        if isinstance(step, Call):
            text, needs = f"{_call_text(step)} {around.text}", (*step.args, *around.needs)
            made[step.result] = _Made(text, needs)
        elif isinstance(step, Loop | Branch):
            _add_flow(step, around, made)


def _add_flow(step: Loop | Branch, around: _Made, made: dict[int, _Made]) -> None:
    """Of a loop or branch and of what is in it, which is told apart by what decides it and, in a
    loop, by what this begins with: what an iteration leaves is known after the body alone."""
    controls = step.controls if isinstance(step, Loop) else {"condition": step.condition}
    first = (*controls.values(), *(step.carried if isinstance(step, Loop) else ()))
    text = repr((type(step).__name__, step.source, list(controls), around.text))
    inside = _Made(text, (*first, *around.needs))
    results: list[int] = []
    for i, region in enumerate(step.regions):
        here = _Made(f"{i} in {text}", inside.needs)
        for k, value in enumerate(region.parameters):
            made[value] = _Made(f"parameter {k} {here.text}", here.needs)
        _add_made(region, here, made)
        results += region.results
    for k, value in enumerate(step.results):
        made[value] = _Made(f"result {k} {text}", (*results, *inside.needs))


def _call_text(call: Call) -> str:
    nodes = [_node_text(node) for node in call.workload.nodes]
    return repr((nodes, call.workload.constants, call.source))


def _node_text(node: Node) -> str:
    out = node.out
    return repr(
        (node.op, node.args, out.dtype, len(out.shape), [(n, _form(a)) for n, a in node.attrs])
    )


def _form(attr: Any) -> Any:
    """An attribute without its whole numbers."""
    if isinstance(attr, tuple):
        return tuple(map(_form, attr))
    return "number" if type(attr) is int else attr
