"""A small model with two inputs and two outputs, and what it computes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def scale_model(rows: int | str = 2, name: str = "scale") -> onnx.ModelProto:
    """``y = relu(x @ w + shift)`` and ``total``, the sum of its rows."""
    weights = np.linspace(-1, 1, 40, dtype=np.float32).reshape(8, 5)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], "the product"),
        helper.make_node("Add", ["product", "shift"], ["shifted"], "the shift"),
        helper.make_node("Relu", ["shifted"], ["y"]),
        helper.make_node("ReduceSum", ["y", "axes"], ["total"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 8]),
            helper.make_tensor_value_info("shift", TensorProto.FLOAT, [5]),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 5]),
            helper.make_tensor_value_info("total", TensorProto.FLOAT, [5]),
        ],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array([0]), "axes"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def expected(x: np.ndarray, shift: np.ndarray) -> dict[str, np.ndarray]:
    """What ``scale_model`` computes."""
    weights = np.linspace(-1, 1, 40, dtype=np.float32).reshape(8, 5)
    y = np.maximum(x @ weights + shift, 0)
    return {"y": y, "total": y.sum(axis=0)}
