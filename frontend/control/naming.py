"""Straight parts under names that tell nothing but which values are the same: those that are alike
but for names are one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import onnx

from ..graph import Array
from ..onnx.notes import NodeNote, PartNotes
from ..onnx.scopes import inner_graphs
from ..program import Call, Program

_STANDS_IN = re.compile("«([0-9]+)»")


class Naming:
    """Of a ``part``, which has inputs that are ``given``; one with functions, with graphs in its
    nodes, or that declares shapes of its outputs, of which users are told, keeps its names."""

    def __init__(self, part: onnx.ModelProto, given: Mapping[str, Array]) -> None:
        self._names: dict[str, str] = {}
        self.part, self.given = part, given
        says = any(o.type.tensor_type.HasField("shape") for o in part.graph.output)
        if says or part.functions or any(any(inner_graphs(node)) for node in part.graph.node):
            return
        self.part = _over(part, self._stand_in)
        self.given = {self._stand_in(name): array for name, array in given.items()}
        self._own = {stands_in: name for name, stands_in in self._names.items()}

    def _stand_in(self, name: str) -> str:
        if not name:
            return name
        return self._names.setdefault(name, f"«{len(self._names)}»")

    @property
    def is_own(self) -> bool:
        """Whether it keeps its names."""
        return not self._names

    def name(self, text: str) -> str:
        """A name, or a text of names, as the part itself has it."""
        if self.is_own:
            return text
        own = self._own.get(text)
        return own or _STANDS_IN.sub(lambda found: self._own[found[0]], text)

    def key(self, key: tuple[object, ...]) -> tuple[object, ...]:
        """The same of the texts in a key."""
        return tuple(self.name(each) if isinstance(each, str) else each for each in key)

    def program(self, program: Program) -> Program:
        """What became of it; its constants, but for those that are given, are none that the program
        of another part has."""
        given = {id(array) for array in self.given.values()}
        arrays = program.constants.items()
        constants = {v: a if id(a) in given else a.view() for v, a in arrays}
        steps = program.steps
        if not self.is_own:
            steps = tuple(
                replace(step, source=self.name(step.source)) if isinstance(step, Call) else step
                for step in steps
            )
        return replace(
            program,
            inputs=tuple((self.name(name), value) for name, value in program.inputs),
            outputs=tuple((self.name(name), value) for name, value in program.outputs),
            constants=constants,
            steps=steps,
        )

    def notes(self, notes: PartNotes, moved: set[tuple[object, ...]]) -> PartNotes:
        """What was known of it, and what it ``moved``."""
        if self.is_own:
            return replace(notes, moved=moved)
        name = self.name
        return PartNotes(
            tuple(map(self._note, notes.nodes)),
            {name(value): shape for value, shape in notes.shapes.items()},
            {name(value): array for value, array in notes.arrays.items()},
            frozenset(map(name, notes.left)),
            [self.notes(each, each.moved) for each in notes.conditions],
            moved,
        )

    def _note(self, node: NodeNote) -> NodeNote:
        inputs, outputs = (tuple(map(self.name, names)) for names in (node.inputs, node.outputs))
        return replace(node, inputs=inputs, outputs=outputs)


def _over(part: onnx.ModelProto, name: Any) -> onnx.ModelProto:
    """The part over other names."""
    plain = onnx.ModelProto()
    plain.CopyFrom(part)
    graph = plain.graph
    for node in graph.node:
        node.name = name(node.name)
        for field in (node.input, node.output):
            field[:] = list(map(name, field))
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = name(value.name)
    return plain
