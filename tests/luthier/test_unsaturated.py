"""Products of whole numbers are those of ONNX on every processor, in the reference, too."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from luthier.correctness.unsaturated import unsaturated

RNG = np.random.default_rng(5)
X, A = (RNG.choice([0, 255], size).astype("uint8") for size in ((1, 4, 6, 7), (5, 64)))
W, B = (RNG.choice([-128, 127], size).astype("int8") for size in ((6, 4, 3, 3), (64, 3)))


def number(value: float, dtype: str = "float32") -> np.ndarray:
    return np.array(value, dtype)


CHANNELS = np.linspace(0.001, 0.01, 6, dtype="float32")
ZEROS = np.zeros(6, "int8")
CASES = {
    "products": ("MatMulInteger", [A, B, number(7, "uint8"), np.array([1, 0, 2], "int8")]),
    "rows with zero points": ("MatMulInteger", [A, B, np.arange(5, dtype="uint8")]),
    "convolutions": ("ConvInteger", [X, W, number(99, "uint8")]),
    "scaled products": (
        "QLinearMatMul",
        [
            *(A, number(0.01), number(7, "uint8"), B, number(0.02), number(3, "int8")),
            *(number(2.3), number(128, "uint8")),
        ],
    ),
    "scaled convolutions": (
        "QLinearConv",
        [
            *(X, number(0.01), number(99, "uint8"), W, CHANNELS, ZEROS),
            *(number(0.07), number(128, "uint8"), np.arange(6, dtype="int32") * 1000),
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_saturates(name: str) -> None:
    op, (x, *constants) = CASES[name]
    names = [f"c{i}" for i in range(len(constants))]
    attrs = {"pads": [1, 1, 1, 1]} if "Conv" in op else {}
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], **attrs)],
        "one",
        [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, x.shape)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(a, n) for n, a in zip(names, constants, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    written = unsaturated(model)
    if name == "rows with zero points":
        assert written == model
        return
    assert op not in [node.op_type for node in written.graph.node]
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(written.SerializeToString(), options)
    (found,) = session.run(None, {"x": x})
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found.astype(int), wanted, atol=op.startswith("QLinear"))
