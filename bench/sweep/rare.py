"""What points of rare operators and of all element types share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.sweep.point import Point

FAMILY = "other operator"
KINDS = {
    "float": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10,
    "double": 11,
}  # fmt: skip
IMAGE, ROWS, ODD = (1, 64, 56, 56), (128, 768), (37, 5, 61)


def typed(kind: str, shape: Sequence[int]) -> str:
    """A type in ONNX text."""
    return f"{kind}[{','.join(map(str, shape))}]"


def ints(name: str, *values: int) -> str:
    """A constant vector of whole numbers in ONNX text."""
    return f"{name} = Constant <value_ints = [{', '.join(map(str, values))}]> () "


def other(
    name: str, nodes: str, inputs: Mapping[str, str], output: str = "float", positive: bool = False
) -> Point:
    """A point of the family."""
    return Point(FAMILY, name, nodes, inputs, output=output, positive=positive)
