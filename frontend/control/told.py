"""Numbers that the shapes of a model's outputs tell: known when it is built, asked when it runs.

A size that a model is given by an input may decide more than the shape that it declares: how long
ranges are, which branch runs. Where the declared shape tells the number, all of that is known.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from luthier.schedules import Tensor

from ..onnx.opset import is_onnx
from ..program import Expect, Step
from .assembly import Assembly
from .decisive import decisive
from .declared import Dims, Known
from .origins import Element, Origin, Origins
from .parts import Parts, Scope

# Of operators of which each number of an operand is a size of the result: that operand. A Reshape
# may be told 0 and -1 in a size's place.
_SIZES = {"ConstantOfShape": 0, "Reshape": 1}


@dataclass(frozen=True)
class Told:
    """What is told of the values in a scope."""

    parts: Parts
    assembly: Assembly
    scope: Scope
    known: Known

    def take(
        self, nodes: Sequence[onnx.NodeProto], declared: Mapping[str, Dims]
    ) -> tuple[Sequence[Step], list[onnx.NodeProto]]:
        """What asks whether a run's numbers are those that are told, and what is left of the nodes.

        What these have of such numbers is known from now on.
        """
        made = {name: node for node in nodes for name in node.output if name}
        numbers = _told(nodes, declared, Origins(made, self._typed, self.known))
        if not numbers:
            return (), list(nodes)
        before = Origins(made, self._typed, self.known)
        after = Origins(made, self._typed, self.known, numbers)
        found = {
            name: np.array(after.numbers(name), np.int64)
            for name in made
            if _all_known(after.of(name)) and not _all_known(before.of(name))
        }
        left = [_without(n, found) for n in nodes if not found.keys() >= {*n.output} - {""}]
        for name, array in found.items():
            self.scope[name] = self.assembly.constant(array)
        places: dict[str, dict[int, int]] = {}
        for (name, place), number in numbers.items():
            places.setdefault(name, {})[place] = number
        steps = [step for name in places for step in self._ask(name, places[name])]
        return steps, left

    def _typed(self, name: str) -> Tensor | None:
        """Of a whole number or some."""
        value = self.scope.get(name)
        tensor = self.assembly.type(value) if isinstance(value, int) else None
        return tensor if tensor is not None and tensor.dtype == "int64" else None

    def _ask(self, name: str, numbers: Mapping[int, int]) -> Sequence[Step]:
        """Let the run end unless a value has these numbers at these places."""
        label, places = f"input '{name}'", sorted(numbers)
        value = self.parts.value(name, self.scope, label)
        flat = self.assembly.view(value, (self.assembly.type(value).size,))
        inner: Scope = ChainMap({}, {}, {"given": flat})
        inner["places"] = self.assembly.constant(np.array(places))
        pick = helper.make_node("Gather", ["given", "places"], ["some"], label, axis=0)
        steps = self.parts.steps([pick], ["some"], inner)
        listed = ", ".join(map(str, places))
        says = f"by the shapes that the model declares, its numbers at {listed} are"
        wants = self.assembly.table(f"{label}/{says}", np.array([numbers[i] for i in places]))
        return (*steps, Expect(self.parts.value("some", inner, label), wants, says, label))


def _told(
    nodes: Sequence[onnx.NodeProto], declared: Mapping[str, Dims], origins: Origins
) -> dict[Element, int]:
    """The numbers that shapes tell which nodes are declared to give, and others depend on."""
    sizes, others = dict[Element, int](), set[Element]()
    for node in filter(lambda node: is_onnx(node.domain), nodes):
        read = {i: origins.of(node.input[i]) for i in decisive(node) if i < len(node.input)}
        whole = read.get(_SIZES.get(node.op_type, -1), ())
        pairs = [*_pairs(whole, declared.get(node.output[0], ()))]
        for element, size in pairs:
            sizes.setdefault(element, size)
        # What takes no -1 tells that a Reshape is given none.
        if node.op_type != "Reshape" and not pairs:
            others.update(o for each in read.values() for o in each if isinstance(o, Element))
    return {element: size for element, size in sizes.items() if element in others}


def _pairs(origins: Sequence[Origin], dims: Dims) -> Iterator[tuple[Element, int]]:
    if len(origins) == len(dims):
        for origin, size in zip(origins, dims, strict=True):
            if isinstance(origin, Element) and size is not None:
                yield origin, size


def _all_known(origins: Collection[Origin]) -> bool:
    return bool(origins) and all(isinstance(each, int) for each in origins)


def _without(node: onnx.NodeProto, results: Collection[str]) -> onnx.NodeProto:
    """A node whose results that are known have names that nobody reads."""
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    copied.output[:] = [f"{name}/told" if name in results else name for name in node.output]
    return copied
