"""Branches may give one number with and without dimensions, where what is made of it does not tell.

Exporters that let conditions be lists of one, and numbers alone, write such branches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx

from ..onnx.scopes import reads
from ..onnx.shapes import inferred
from .assembly import Assembly
from .parts import Held, Parts, Scope

_Type = tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Ranks:
    """Of values in a graph of these nodes, in order, of which some values are ``wanted``."""

    nodes: Sequence[onnx.NodeProto]
    wanted: Collection[str]
    parts: Parts
    assembly: Assembly

    def evened(self, name: str, one: Held, other: Held, scope: Scope) -> tuple[Held, Held]:
        """What branches give by a name, with as many dimensions as the other if both are one number
        of a type, and all that is wanted has one type either way; else as they are."""
        if not isinstance(one, int) or not isinstance(other, int):
            return one, other
        first, second = map(self.assembly.type, (one, other))
        ranks = [len(each.shape) for each in (first, second)]
        alike = first.dtype == second.dtype and first.size == second.size == 1
        if not alike or ranks[0] == ranks[1] or self._matters(name, (one, other), scope):
            return one, other
        shape = (1,) * max(ranks)
        return self.assembly.view(one, shape), self.assembly.view(other, shape)

    def _matters(self, name: str, ways: Sequence[int], scope: Scope) -> bool:
        made = {name}
        left = list[onnx.NodeProto]()
        for node in self.nodes:
            if name in node.output or any(o in scope for o in node.output if o):
                continue
            left.append(node)
            if not made.isdisjoint(reads(node)):
                made.update(filter(None, node.output))
        told = [each for each in self.wanted if each in made]
        if name in told:
            return True
        found = [self._types(left, told, scope.new_child({name: value})) for value in ways]
        return None in found or found[0] != found[1]

    def _types(
        self, nodes: Sequence[onnx.NodeProto], names: Sequence[str], scope: Scope
    ) -> list[_Type] | None:
        """Of all of these values; None where one is not known."""
        model, _ = self.parts.model_of(nodes, scope, without_sequences=True)
        try:
            infos = {info.name: info.type.tensor_type for info in inferred(model).graph.value_info}
        except onnx.shape_inference.InferenceError:
            return None
        types = [infos[name] for name in names if name in infos and infos[name].HasField("shape")]
        if len(types) < len(names) or any(
            not d.HasField("dim_value") for each in types for d in each.shape.dim
        ):
            return None
        return [(each.elem_type, tuple(d.dim_value for d in each.shape.dim)) for each in types]
