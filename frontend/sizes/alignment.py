"""Which value of one program stands for which of another, where both do the same to other sizes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection
from functools import cached_property
from typing import Any

from luthier.schedules.ir.workload import Node

from ..graph.arrays import Mark, mark
from ..program import Call, Program, Step


class NotAlikeError(Exception):
    """Programs differ by more than by numbers that follow from the sizes; says by what."""


def structure(program: Program) -> str:
    """A hash of all but the numbers: equal for programs that may be alike."""
    keys = _keys(program, {})
    ends = [(name, keys[value]) for name, value in (*program.inputs, *program.outputs)]
    return hashlib.sha256(repr(ends).encode()).hexdigest()


class Alignment:
    """``at[v]`` is the value of ``other`` that stands for ``v`` of ``base``.

    Both programs have the same calls of the same values, in any order. Raises NotAlikeError.
    """

    def __init__(self, base: Program, other: Program) -> None:
        self.base, self.other = base, other
        ours, theirs = _marks(base), _marks(other)
        both = set(ours.values()) & set(theirs.values())
        places: dict[str, list[int]] = defaultdict(list)
        for value, key in sorted(_keys(other, _among(theirs, both)).items()):
            places[key].append(value)
        self.at: dict[int, int] = {}
        for value, key in sorted(_keys(base, _among(ours, both)).items()):
            if not places[key]:
                raise NotAlikeError(f"{title(base, value)} is another for other sizes")
            self.at[value] = places[key].pop(0)
        self._check()

    def _check(self) -> None:
        base, other, at = self.base, self.other, self.at
        if len(base.values) != len(other.values) or len(base.steps) != len(other.steps):
            raise NotAlikeError("there are more kernels for some sizes than for others")
        for value, (within,) in base.within.items():
            if (at[within],) != other.within.get(at[value]):
                raise NotAlikeError(f"{title(base, value)} lies elsewhere for other sizes")
        if [(name, at[value]) for name, value in base.outputs] != list(other.outputs):
            raise NotAlikeError("the outputs are others for other sizes")
        if [(name, at[value]) for name, value in base.inputs] != list(other.inputs):
            raise NotAlikeError("the inputs are others for other sizes")

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


def _marks(program: Program) -> dict[int, Mark]:
    return {value: mark(array) for value, array in program.constants.items()}


def _among(marks: dict[int, Mark], both: Collection[Mark]) -> dict[int, Mark]:
    return {value: each for value, each in marks.items() if each in both}


def _keys(program: Program, marks: dict[int, Mark]) -> dict[int, str]:
    """Of each value what it is computed by, without numbers; constants are told apart by marks."""
    keys: dict[int, str] = {v: f"input {name}" for name, v in program.inputs}
    steps = {value: step for step in program.steps for value in step.defines}
    pieces = program.pieces
    pending = list(range(len(program.values)))
    while pending:
        value = pending[-1]
        if value in keys:
            pending.pop()
            continue
        needs = list(steps[value].reads) if value in steps else pieces.get(value, [])
        needs = [program.views[value]] if value in program.views else needs
        missing = [v for v in needs if v not in keys]
        pending += missing
        if missing:
            continue
        tensor = program.values[value]
        what = _step_text(steps[value]) if value in steps else ""
        known = [keys[v] for v in needs]
        text = repr((what, marks.get(value), tensor.dtype, len(tensor.shape), known))
        keys[value] = hashlib.sha256(text.encode()).hexdigest()
    return keys


def _step_text(step: Step) -> str:
    if not isinstance(step, Call):
        raise NotAlikeError(f"{step.source or type(step).__name__}: it is control flow")
    nodes = [_node_text(node) for node in step.workload.nodes]
    return repr((nodes, step.workload.constants, step.source))


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
