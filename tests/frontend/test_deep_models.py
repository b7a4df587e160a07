"""Models of more nodes one after the other than Python's stack has frames: few, here."""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx_models import TARGET

from luthier.frontend import import_model

N = helper.make_node
DEPTH, FRAMES = 400, 300
WEIGHTS = {
    "taps": np.full((4, 3, 3, 3), 0.1, np.float32),
    "bias": np.full((4, 1, 1), 0.1, np.float32),
    "twice": np.array([1, 1, 2, 2], np.float32),
}
SIZES = {"kernel_shape": [2, 2], "strides": [2, 2]}

Links = Callable[[str, str], list[onnx.NodeProto]]


def chain(links: Links, last: list[onnx.NodeProto], shape: list[int]) -> onnx.ModelProto:
    """Nodes that ``links`` one value to the next, and then the last ones, of "deep" to "y"."""
    names = ["x", *(f"v{i}" for i in range(1, DEPTH)), "deep"]
    nodes = [node for a, b in itertools.pairwise(names) for node in links(a, b)]
    graph = helper.make_graph(
        [*nodes, *last],
        "deep",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(array, name) for name, array in WEIGHTS.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def enlarged(a: str, b: str) -> list[onnx.NodeProto]:
    large = f"{a} twice"
    return [N("Resize", [a, "", "twice"], [large]), N("MaxPool", [large], [b], **SIZES)]


def transposed(a: str, b: str) -> list[onnx.NodeProto]:
    return [N("Softsign", [a], [f"{a} soft"]), N("Transpose", [f"{a} soft"], [b], perm=[1, 0])]


def convolved(a: str, b: str) -> list[onnx.NodeProto]:
    if a == "x":
        return [N("Conv", ["x", "taps"], [b])]
    return [N("Softsign", [a], [b])]


@pytest.mark.parametrize(
    ("links", "last", "shape"),
    [
        (enlarged, [N("Identity", ["deep"], ["y"])], [1, 4, 3, 3]),
        (transposed, [N("MatMul", ["deep", "deep"], ["y"])], [8, 8]),
        (convolved, [N("Add", ["deep", "bias"], ["y"])], [1, 3, 40, 40]),
    ],
    ids=["window", "product", "planes"],
)
def test_deep_models_are_imported(
    links: Links, last: list[onnx.NodeProto], shape: list[int]
) -> None:
    proto = chain(links, last, shape)
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + FRAMES)
    try:
        assert import_model(proto, TARGET).calls
    finally:
        sys.setrecursionlimit(usual)
