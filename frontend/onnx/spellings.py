"""What exporters spell by several nodes: reading these, and writing others in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from onnx import NodeProto, TensorProto, helper

from ..graph import Array
from .opset import attributes_of, is_onnx
from .strip_weights import array_of, constant_tensor, listed_constant

Made: TypeAlias = NodeProto | TensorProto | None
"""What gives a value: a node, an initializer, or what is around a graph."""


def is_operator(node: NodeProto, *operators: str) -> bool:
    """Whether a node is one of these operators of the standard."""
    return node.op_type in operators and is_onnx(node.domain)


class Reading:
    """What values are; ``made`` has by name what gives them."""

    def __init__(self, made: Mapping[str, Made]) -> None:
        self._made = made

    def node(self, name: str, *operators: str) -> NodeProto | None:
        """The node that gives a value, where it is one of these operators."""
        node = self._made.get(name)
        return node if isinstance(node, NodeProto) and is_operator(node, *operators) else None

    def constant(self, name: str, most: int) -> Array | None:
        """A constant of at most one dimension and so many elements."""
        tensor, node = self._made.get(name), self.node(name, "Constant")
        if node is not None:
            tensor = constant_tensor(node)
            if tensor is None:
                return listed_constant(node)
        if not isinstance(tensor, TensorProto) or len(tensor.dims) > 1 or sum(tensor.dims) > most:
            return None
        return array_of(tensor, f"'{name}'")

    def mask(self, places: str) -> str:
        """The value that is true at these places, one to a row; "" where there is none."""
        turn = self.node(places, "Transpose")
        if turn is None or list(attributes_of(turn).get("perm", [1, 0])) != [1, 0]:
            return ""
        found = self.node(turn.input[0], "NonZero")
        return "" if found is None else found.input[0]


class Writing:
    """Nodes one after the other; a ``word`` in their results' names says what writes them."""

    def __init__(self, word: str) -> None:
        self.nodes: list[NodeProto] = []
        self._word = word

    def write(
        self, of: NodeProto, operator: str, *inputs: str, result: str = "", **attrs: Any
    ) -> str:
        """The result of a node in place of another one, or of a part of it."""
        count = len(self.nodes)
        result = result or f"{of.output[0]}/{self._word}/{count}"
        title = f"{of.name or of.output[0]}/{count}"  # one of its own
        self.nodes.append(helper.make_node(operator, inputs, [result], title, **attrs))
        return result
