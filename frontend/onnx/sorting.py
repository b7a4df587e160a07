"""ONNX operators that put elements in order."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.schedules import ModelError

from ..composites import sorting
from .node import OnnxNode, Operator


def _topk(node: OnnxNode) -> Sequence[int]:
    """Values and places. How many is an attribute before operator set 10; what need not be in order
    is, too."""
    axis, count = node.axis(node.attr("axis", -1)), _count(node)
    length = node.shape[axis]
    if not 1 <= count <= length:
        raise ModelError(f"{node.label}: it is to give {count} elements, and there are {length}")
    return sorting.first(node.t, node.x, axis, count, largest=bool(node.attr("largest", 1)))


def _count(node: OnnxNode) -> int:
    given = node.setting("k", 1)
    if given is None or given.size != 1 or given.dtype.kind != "i":
        raise ModelError(f"{node.label}: how many elements it is to give must be one whole number")
    return int(given.reshape(()))


OPERATORS: dict[str, Operator] = {
    "TopK": Operator(_topk, build_time=(1,)),
}
