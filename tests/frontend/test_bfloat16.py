"""Products of models in bfloat16 say that their operands hold such numbers."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import TARGET, floats, model

from luthier.frontend import import_model
from luthier.schedules.ops.products import OF_BFLOAT16

N = helper.make_node
SHORT = ml_dtypes.bfloat16


def marked(proto: onnx.ModelProto) -> list[bool]:
    """Of each product or convolution of the program."""
    program = import_model(proto, TARGET)
    nodes = [node for call in program.calls for node in call.workload.nodes]
    products = ("conv2d", "matmul", "matmul_few_bits")
    return [bool(node.attr(OF_BFLOAT16)) for node in nodes if node.op in products]


def product(weights: np.ndarray, x: np.ndarray) -> onnx.ModelProto:
    return model([N("MatMul", ["x", "w"], ["y"])], {"x": x}, ["y"], {"w": weights}, opset=22)


@pytest.mark.parametrize("size", [8, 200])
def test_products_of_both_operands_in_bfloat16(size: int) -> None:
    """Few weights become float32 when the model is read, many stay as they are."""
    weights, x = floats(size, size).astype(SHORT), floats(4, size).astype(SHORT)
    assert marked(product(weights, x)) == [True]


def test_convolutions() -> None:
    x, w = floats(1, 4, 6, 5).astype(SHORT), floats(8, 4, 3, 3).astype(SHORT)
    proto = model([N("Conv", ["x", "w"], ["y"])], {"x": x}, ["y"], {"w": w}, opset=22)
    assert marked(proto) == [True]


def test_not_of_other_numbers() -> None:
    """Whatever the weights hold: activations of float32 are not such numbers."""
    assert marked(product(floats(8, 8), floats(4, 8))) == [False]
    assert marked(product(floats(8, 8).astype(SHORT).astype(np.float32), floats(4, 8))) == [False]
    nodes = [N("Cast", ["x"], ["wide"], to=1), N("MatMul", ["wide", "w"], ["y"])]
    x = floats(4, 8).astype(SHORT)
    assert marked(model(nodes, {"x": x}, ["y"], {"w": floats(8, 8)}, opset=22)) == [False]
