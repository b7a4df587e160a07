"""Which of a model's whole numbers are one and the same, wherever they were moved to.

A length that two nodes are told is one size, though each takes it out of another list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
import onnx

from luthier.schedules import Tensor

from ..graph import Array
from ..onnx.opset import attributes_of, is_onnx


class Element(NamedTuple):
    """A number that is not known: an element of a value, by the value's name; at the place
    ``COUNT`` how many of its elements are true."""

    value: str
    place: int

    def apart(self, held: object) -> Element:
        """The same, by what the name stands for: graphs that become part of another one, such as
        iterations that are written out, each have a value of that name."""
        return Element(f"{self.value} {held}", self.place)


COUNT = -1


Origin: TypeAlias = int | Element
Numbers: TypeAlias = list[Origin] | Origin
"""Of a list, or of one number without dimensions."""

_VIEWS = ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
_OF_SHAPES = ("Constant", "Shape", "Size")
_MOST, _DEEPEST = 64, 200  # elements of a list; nodes one after the other


def spread_from(name: str, made: Mapping[str, onnx.NodeProto]) -> str:
    """The value of which each element stands for as many of a value: before it was expanded."""
    above = made.get(name)
    if above is None or above.op_type != "Expand" or not is_onnx(above.domain):
        return name
    return _viewed(next(iter(above.input), ""), made)


def _viewed(name: str, made: Mapping[str, onnx.NodeProto]) -> str:
    """The value whose elements, all of them, another shape has."""
    while (above := made.get(name)) is not None and above.op_type in _VIEWS:
        name = next(iter(above.input), "")
    return name


def moved_from(names: Iterable[str], made: Mapping[str, onnx.NodeProto]) -> set[str]:
    """The values from which moves may lead to some values, and these."""
    found, left = set[str](), list(names)
    while left:
        name = left.pop()
        node = made.get(name)
        if node is None or name in found or node.op_type in _OF_SHAPES:
            continue
        found.add(name)
        if node.op_type in _MOVES and is_onnx(node.domain):
            left.extend(filter(None, node.input))
    return found


def known_list(origins: Origins, name: str) -> Array | None:
    """The numbers of a value, where all are known."""
    found = origins.numbers(name)
    numbers = found if isinstance(found, list) else [found]
    if found is None or not all(isinstance(each, int) for each in numbers):
        return None
    return np.array(found, np.int64)


class Origins:
    """``made`` has by name the node that gives a value; ``typed`` and ``known`` tell a value's type
    and its numbers, None where there are none; ``told`` are those of elements."""

    def __init__(
        self,
        made: Mapping[str, onnx.NodeProto],
        typed: Callable[[str], Tensor | None],
        known: Callable[[str], Array | None],
        told: Mapping[Element, int] = MappingProxyType({}),
    ) -> None:
        self._made, self._typed, self._known, self._told = made, typed, known, told
        self._found: dict[str, Numbers | None] = {}

    def of(self, name: str) -> Sequence[Origin]:
        """Of each element of a value; of none where that is not told."""
        found = self.numbers(name)
        return [] if found is None else found if isinstance(found, list) else [found]

    def numbers(self, name: str) -> Numbers | None:
        """The same, of a value without dimensions as one."""
        return self._of(name, _DEEPEST)

    def _of(self, name: str, depth: int) -> Numbers | None:
        if name not in self._found:
            found = self._traced(name, depth)
            is_long = isinstance(found, list) and len(found) > _MOST
            self._found[name] = None if is_long else found
        return self._found[name]

    def _traced(self, name: str, depth: int) -> Numbers | None:
        array = self._known(name)
        if array is not None:
            fits = array.dtype.kind in "iu" and array.ndim < 2 and array.size <= _MOST
            return array.tolist() if fits else None
        node = self._made.get(name)
        moved = self._moved(node, name, depth - 1) if node is not None and depth else None
        if moved is not None:
            return moved
        tensor = self._typed(name)
        counted = self._counted(node, tensor) if node is not None else None
        if counted is not None:
            return counted
        if tensor is None or len(tensor.shape) > 1 or tensor.size > _MOST:
            return None
        elements = (Element(name, i) for i in range(tensor.size))
        every = [self._told.get(each, each) for each in elements]
        return every if tensor.shape else every[0]

    def _counted(self, node: onnx.NodeProto, tensor: Tensor | None) -> Numbers | None:
        """Of a sum that counts all of a value's elements that are true."""
        if node.op_type != "ReduceSum" or not node.input or tensor is None or tensor.size != 1:
            return None
        name = node.input[0]
        while (above := self._made.get(name)) is not None and above.op_type == "Cast":
            name = next(iter(above.input), "")
        name = _viewed(name, self._made)
        given = self._typed(name)
        if given is None or given.dtype != "bool" or len(tensor.shape) > 1:
            return None
        found = Element(name, COUNT)
        return [found] if tensor.shape else found

    def _moved(self, node: onnx.NodeProto, name: str, depth: int) -> Numbers | None:
        """Of a result of a node that moves elements; None where it does anything else."""
        attrs = attributes_of(node)
        if node.op_type == "Constant":
            return attrs.get("value_int", attrs.get("value_ints"))
        move = _MOVES.get(node.op_type) if is_onnx(node.domain) else None
        if node.op_type == "Shape" and is_onnx(node.domain):
            tensor = self._typed(node.input[0])
            dims: list[Origin] | None = None if tensor is None else list(tensor.shape)
            return None if dims is None else dims[attrs.get("start", 0) : attrs.get("end")]
        if move is None or not node.input:
            return None
        given = [self._of(each, depth) if each else [] for each in node.input]
        if any(each is None for each in given):
            return None
        numbers = [each for each in given if each is not None]
        return move(numbers, attrs, list(node.output).index(name), len(node.output))


_Move: TypeAlias = Callable[[Sequence[Numbers], Mapping[str, object], int, int], Numbers | None]


def _same(given: Sequence[Numbers], *_: object) -> Numbers | None:
    return given[0]


def _joined(given: Sequence[Numbers], *_: object) -> Numbers | None:
    return [n for each in given for n in (each if isinstance(each, list) else [each])]


def _listed(given: Sequence[Numbers], *_: object) -> Numbers | None:
    """A list of one number."""
    return None if isinstance(given[0], list) else [given[0]]


def _alone(given: Sequence[Numbers], *_: object) -> Numbers | None:
    """One number of a list that has no other."""
    x = given[0]
    return x[0] if isinstance(x, list) and len(x) == 1 else None


def _picked(given: Sequence[Numbers], *_: object) -> Numbers | None:
    x, places = given[0], given[1]
    numbers = places if isinstance(places, list) else [places]
    if not isinstance(x, list) or not all(
        isinstance(n, int) and -len(x) <= n < len(x) for n in numbers
    ):
        return None
    found = [x[n] for n in numbers if isinstance(n, int)]
    return found if isinstance(places, list) else found[0]


def _part(given: Sequence[Numbers], *_: object) -> Numbers | None:
    x, *bounds = given
    ends = (each[0] for each in bounds if isinstance(each, list) and len(each) == 1)
    numbers = [n for n in ends if isinstance(n, int)]
    if not isinstance(x, list) or len(numbers) < max(len(bounds), 2):
        return None
    step = numbers[3] if len(numbers) > 3 else 1
    return x[numbers[0] : numbers[1] : step] if step else None


def _piece(
    given: Sequence[Numbers], attrs: Mapping[str, object], index: int, count: int
) -> Numbers | None:
    """Of as many that are equally long, or as long as is known."""
    x = given[0]
    if not isinstance(x, list):
        return None
    each = -(-len(x) // count)
    sizes = given[1] if len(given) > 1 else attrs.get("split", [each] * count)
    if not isinstance(sizes, list) or not all(isinstance(n, int) for n in sizes):
        return None
    first = sum(sizes[:index])
    return x[first : first + sizes[index]]


_MOVES: Mapping[str, _Move] = {
    "Concat": _joined,
    "Gather": _picked,
    "Identity": _same,
    "Slice": _part,
    "Split": _piece,
    "Squeeze": _alone,
    "Unsqueeze": _listed,
}
