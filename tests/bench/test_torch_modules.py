"""Models in the operators that onnx2torch reads; neither it nor torch is needed here."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench.torch_modules import readable


def model() -> onnx.ModelProto:
    """Dropout, a pool whose padded window covers everything, and a reshape that keeps a 1.

    As the light models are: an old format, and initializers that are not inputs.
    """
    nodes = [
        helper.make_node("Dropout", ["x"], ["kept", "mask"], ratio=0.5),
        helper.make_node(
            "AveragePool", ["kept"], ["pooled"], kernel_shape=[7, 7], pads=[0, 0, 1, 1]
        ),
        helper.make_node("Reshape", ["pooled", "shape"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pooling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.array([0, -1]), "shape")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=3)


def test_operators_become_ones_that_mean_the_same():
    changed = readable(model())
    onnx.checker.check_model(changed)
    assert [n.op_type for n in changed.graph.node] == ["Identity", "GlobalAveragePool", "Reshape"]
    x = np.random.default_rng(0).standard_normal((1, 4, 6, 6), np.float32)
    session = onnxruntime.InferenceSession(changed.SerializeToString())
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x.mean((2, 3)), rtol=1e-5)


def test_shapes_are_known_and_the_model_itself_stays():
    original = model()
    changed = readable(original)
    assert original == model()
    (pooled,) = (v for v in changed.graph.value_info if v.name == "pooled")
    assert [d.dim_value for d in pooled.type.tensor_type.shape.dim] == [1, 4, 1, 1]
