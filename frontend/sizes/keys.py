"""What tells the values of a program, but for the numbers that follow from sizes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from luthier.schedules.ir.core import Region
from luthier.schedules.ir.workload import Node

from ..graph.arrays import Mark, mark
from ..program import Branch, Call, Loop, Program, Step
from ..program.steps import walk
from .computed import may_be_computed

Constant: TypeAlias = tuple[Mark, str]
"""What tells a constant: its elements, and which calls read it."""


class _Made(NamedTuple):
    """What a value is computed by: a text, and the values that are read."""

    text: str
    needs: tuple[int, ...]


class Keys:
    """Of the values of one ``program``, each found once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._known: dict[frozenset[Constant], dict[int, str]] = {}

    @cached_property
    def structure(self) -> str:
        """A hash of all but the numbers: equal for programs that may be alike."""
        program, keys = self.program, self.values(frozenset())
        ends = [(name, keys[value]) for name, value in (*program.inputs, *program.outputs)]
        return hashlib.sha256(repr(ends).encode()).hexdigest()

    @cached_property
    def constants(self) -> dict[int, Constant]:
        """What tells constants. One that may be computed from sizes is told by nothing: it may
        happen to be another."""
        arrays = self.program.constants.items()
        return {v: (mark(a), self._read[v]) for v, a in arrays if not may_be_computed(a)}

    def values(self, both: frozenset[Constant]) -> dict[int, str]:
        """Of each value what it is computed by, without numbers; of constants, those are told apart
        that are in ``both`` programs that are compared."""
        if both not in self._known:
            self._known[both] = self._values(both)
        return self._known[both]

    def _values(self, both: frozenset[Constant]) -> dict[int, str]:
        program, made = self.program, dict(self._made)
        marks = {value: each for value, each in self.constants.items() if each in both}
        read = self._read.items()
        made |= {value: _Made(text, ()) for value, text in read if value not in marks}
        named = defaultdict[int, list[str]](list)
        for name, value in program.outputs:
            named[value].append(name)
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

    @cached_property
    def _read(self) -> dict[int, str]:
        """Of each constant by which calls it is read: where some are made earlier or later for
        other sizes, their order tells nothing."""
        program = self.program
        told: dict[int, set[str]] = {v: set() for v in program.constants}
        for step in walk(program.region):
            if isinstance(step, Call):
                text = _call_text(step)
                for place, value in enumerate(step.args):
                    base = program.base(value)
                    if base in told:
                        told[base].add(f"argument {place} of {text}")
        return {value: repr(sorted(texts)) for value, texts in told.items()}

    @cached_property
    def _made(self) -> dict[int, _Made]:
        """Of each value that is not a constant."""
        program = self.program
        made = {value: _Made(f"input {name}", ()) for name, value in program.inputs}
        made |= {value: _Made("", tuple(pieces)) for value, pieces in program.pieces.items()}
        made |= {value: _Made("", (base,)) for value, base in program.views.items()}
        _add_made(program.region, _Made("", ()), made)
        return made


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
