"""How far apart two whole numbers are at most that a run computes, where nodes tell.

``x[:, i : i + 1]`` takes one element, wherever ``i`` is: exporters write its end as the start and a
number, or as the smaller of that and the size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import onnx
from onnx import numpy_helper

from ..graph import Array
from ..onnx.opset import attributes_of, is_onnx

_VIEWS = frozenset(("Cast", "CastLike", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"))
_DEEPEST = 64  # nodes one after the other
_OF_ANY_TYPE = range(128)


class Sum(NamedTuple):
    """A value's only element, and a number."""

    value: str
    plus: int


class Distances:
    """``made`` has by name the node that gives a value; ``known`` tells a value's numbers, None
    where there are none."""

    def __init__(
        self, made: Mapping[str, onnx.NodeProto], known: Callable[[str], Array | None]
    ) -> None:
        self._made, self._known = made, known

    def most(self, start: str, end: str) -> int | None:
        """How much the only element of one value is less than that of another at most."""
        begin = self.sum(start)
        ends = [self.sum(each) for each in self._least(end)]
        apart = [each.plus - begin.plus for each in ends if each.value == begin.value]
        return max(min(apart), 0) if apart else None

    def sum(self, name: str) -> Sum:
        """What a value of one number is as a sum."""
        plus = 0
        for _ in range(_DEEPEST):
            node = self._node(name)
            if node is None:
                break
            if node.op_type in _VIEWS:
                name = node.input[0]
            elif node.op_type in ("Add", "Sub") and (more := self.number(node.input[1])):
                name, plus = node.input[0], plus + (more if node.op_type == "Add" else -more)
            elif node.op_type == "Add" and (more := self.number(node.input[0])):
                name, plus = node.input[1], plus + more
            else:
                break
        return Sum(name, plus)

    def _least(self, name: str) -> list[str]:
        """What a value is the smallest of."""
        for _ in range(_DEEPEST):
            node = self._node(name)
            if node is None or node.op_type not in (*_VIEWS, "Min"):
                break
            if node.op_type == "Min":
                return list(node.input)
            name = node.input[0]
        return [name]

    def _node(self, name: str) -> onnx.NodeProto | None:
        node = self._made.get(name)
        return node if node is not None and is_onnx(node.domain) and node.input else None

    def number(self, name: str) -> int | None:
        """A whole number, alone; of one that is cast, one that any type has."""
        own = name
        for _ in range(_DEEPEST):
            number, node = self._known_number(name), self._node(name)
            if number is not None:
                return number if name == own or number in _OF_ANY_TYPE else None
            if node is None or node.op_type not in _VIEWS:
                break
            name = node.input[0]
        return None

    def _known_number(self, name: str) -> int | None:
        node = self._made.get(name)
        if node is not None and node.op_type == "Constant":
            array = _constant(node)
        else:
            array = self._known(name)
        if array is None or array.size != 1 or not float(array.item()).is_integer():
            return None
        return int(array.item())


def _constant(node: onnx.NodeProto) -> Array | None:
    attrs = attributes_of(node)
    return numpy_helper.to_array(attrs["value"]) if "value" in attrs else None
