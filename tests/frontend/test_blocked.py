"""Models that ONNX Runtime's optimiser wrote for this processor, with channels in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx_models import TARGET, compute, floats
from registry import LAYOUTS, every_kernel

from luthier.frontend import import_model
from luthier.frontend.onnx.microsoft.blocked import BLOCKED
from luthier.frontend.onnx.read import read_model
from luthier.schedules import ModelError, UnsupportedOperator

N = helper.make_node


def optimised(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """What ONNX Runtime writes of it at its highest level."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return onnx.load(folder / "optimised.onnx")


def network(nodes: list[onnx.NodeProto], shape: list[int], opset: int = 18, **weights: np.ndarray):
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def layers(channels: int) -> onnx.ModelProto:
    """A first layer of three channels, depthwise and grouped ones, pools, a residual."""
    c, grouped = channels, 64
    weights = {
        "w0": floats(c, 3, 3, 3, seed=1), "b0": floats(c, seed=2),
        "w1": floats(c, 1, 3, 3, seed=3), "b1": floats(c, seed=4),
        "w2": floats(grouped, c, 1, 1, seed=5), "b2": floats(grouped, seed=6),
        "w3": floats(grouped, 32, 3, 3, seed=7) / 9, "b3": floats(grouped, seed=8),
        "w4": floats(10, grouped, 1, 1, seed=9),
    }  # fmt: skip
    nodes = [
        N("Conv", ["x", "w0", "b0"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        N("Relu", ["a"], ["b"]),
        N("Conv", ["b", "w1", "b1"], ["c"], pads=[1, 1, 1, 1], group=c),
        N("LeakyRelu", ["c"], ["d"], alpha=0.3),
        N("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        N("Conv", ["e", "w2", "b2"], ["f"]),
        N("Conv", ["f", "w3", "b3"], ["g"], pads=[1, 1, 1, 1], group=2),
        N("Add", ["f", "g"], ["h"]),
        N("Sigmoid", ["h"], ["i"]),
        N("AveragePool", ["i"], ["j"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        N("Conv", ["j", "w4"], ["k"]),
        N("Relu", ["k"], ["y"]),
    ]
    return network(nodes, [2, 3, 13, 17], **weights)


def wide(opset: int, **resize: object) -> onnx.ModelProto:
    """What begins with channels that are reordered, and ends with pools of whole images."""
    weights = {"w": floats(24, 20, 1, 1, seed=1), "v": floats(48, 48, 3, 3, seed=2) / 9}
    upsample = "Resize" if opset >= 10 else "Upsample"
    inputs = ["b", "", "scales"] if opset >= 11 else ["b", "scales"]
    nodes = [
        N("Conv", ["x", "w"], ["a"]),
        N("Relu", ["a"], ["b"]),
        N(upsample, inputs, ["c"], **resize),
        N("Concat", ["c", "c"], ["d"], axis=1),
        N("Conv", ["d", "v"], ["e"], strides=[2, 1]),
        N("GlobalMaxPool", ["e"], ["f"]),
        N("GlobalAveragePool", ["e"], ["g"]),
        N("Add", ["f", "g"], ["y"]),
    ]
    scales = np.array([1, 1, 3, 2], np.float32)
    return network(nodes, [1, 20, 7, 9], opset, **weights, scales=scales)


MODELS = {
    "layers of 48": layers(48), "layers of 24": layers(24), "layers of 40": layers(40),
    "nearest": wide(18, mode="nearest", coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor"),
    "linear": wide(18, mode="linear", coordinate_transformation_mode="half_pixel"),
    "corners": wide(13, mode="linear", coordinate_transformation_mode="align_corners"),
    "tenth": wide(10, mode="nearest"),
    "ninth": wide(9, mode="nearest"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_what_the_optimiser_writes(name: str, tmp_path: Path) -> None:
    model = MODELS[name]
    made = optimised(model, tmp_path)
    assert any(node.domain == BLOCKED for node in made.graph.node)
    x = floats(*(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim), seed=11)
    got = compute(import_model(made, TARGET), {"x": x})["y"]
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(got, session.run(None, {"x": x})[0], 1e-4, 1e-4)


def test_every_operator_is_tried(tmp_path: Path) -> None:
    tried = {
        node.op_type
        for i, model in enumerate(MODELS.values())
        for node in optimised(model, _folder(tmp_path, i)).graph.node
        if node.domain == BLOCKED
    }
    assert tried == {kernel.op for kernel in every_kernel() if kernel.domain == LAYOUTS}


def _folder(path: Path, number: int) -> Path:
    (path / str(number)).mkdir()
    return path / str(number)


def of_one(op: str, *inputs: str, **attrs: object) -> onnx.ModelProto:
    return network(
        [N(op, ["x", *inputs], ["y"], domain=BLOCKED, **attrs)], [1, 16, 4, 4],
        w=floats(16, 16, 1, 1), v=floats(12, 16, 1, 1), u=floats(32, 20, 1, 1), t=floats(16, 16),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        (of_one("Conv", "none"), ModelError, "nothing before it gives its input 'none'"),
        (of_one("Conv"), UnsupportedOperator, "not a constant of 4 dimensions"),
        (of_one("Conv", "t"), UnsupportedOperator, "not a constant of 4 dimensions"),
        (of_one("Conv", "v"), ModelError, "12 results are not blocks of 8"),
        (of_one("Conv", "u"), ModelError, "20 channels are not blocks"),
        (of_one("ReorderOutput"), ModelError, "its channels are 0"),
        (of_one("ReorderOutput", channels=-1), ModelError, "its channels are -1"),
        (of_one("Upsample", scales=[1, 2]), ModelError, r"its scales are \[1.0, 2.0\]"),
        (of_one("Softmax"), UnsupportedOperator, "the operator is not supported"),
    ],
)
def test_what_is_refused(model: onnx.ModelProto, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        read_model(model)
