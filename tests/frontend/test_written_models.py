"""Models as ONNX Runtime's quantisers and optimisers write them mean what ONNX Runtime computes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from encoder import encoder
from microsoft_models import DOMAIN, agree
from onnx import helper, numpy_helper
from onnx_models import floats, positive
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.fusion_utils import FusionUtils
from onnxruntime.transformers.onnx_model_bert import BertOnnxModel

IMAGE = floats(2, 3, 12, 12)


def classifier() -> onnx.ModelProto:
    """Convolutions, one of them depthwise, a shortcut, pools and a product."""
    weights = {
        "w0": floats(8, 3, 3, 3) * np.float32(0.3),
        "b0": floats(8),
        "w1": floats(8, 1, 3, 3),
        "b1": floats(8, seed=1),
        "w2": floats(8, 8, 1, 1) * positive(8, 1, 1, 1),
        "b2": floats(8, seed=2),
        "w3": floats(8, 5),
        "b3": floats(5),
    }
    padded = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], name="conv0", **padded),
        helper.make_node("Relu", ["c0"], ["r0"], name="relu0"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], name="conv1", group=8, **padded),
        helper.make_node("LeakyRelu", ["c1"], ["r1"], name="relu1", alpha=0.1),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2", kernel_shape=[1, 1]),
        helper.make_node("Add", ["c2", "r0"], ["s"], name="add"),
        helper.make_node("Concat", ["s", "r1"], ["k"], name="concat", axis=2),
        helper.make_node("MaxPool", ["k"], ["m"], name="max", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Sigmoid", ["m"], ["g"], name="gate"),
        helper.make_node("Mul", ["m", "g"], ["n"], name="mul"),
        helper.make_node("GlobalAveragePool", ["n"], ["p"], name="mean"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], name="gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", 1, IMAGE.shape)],
        [helper.make_tensor_value_info("y", 1, [2, 5])],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class Samples(CalibrationDataReader):
    """Some inputs, one after the other."""

    def __init__(self, *inputs: dict[str, np.ndarray]) -> None:
        self.inputs = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
        return next(self.inputs, None)


MODELS = {
    "classifier": lambda: (classifier(), {"x": IMAGE}),
    "encoder": lambda: encoder(opset=13),
}


def saved(proto: onnx.ModelProto, folder: Path) -> str:
    path = folder / "model.onnx"
    onnx.save(proto, path)
    return str(path)


def own(proto: onnx.ModelProto) -> Counter[str]:
    """How often operators of ONNX Runtime's domain are in a model."""
    return Counter(n.op_type for n in proto.graph.node if n.domain == DOMAIN)


def quantised(proto: onnx.ModelProto) -> int:
    """How many nodes compute with quantised numbers."""
    return sum("Integer" in n.op_type or n.op_type.startswith("Q") for n in proto.graph.node)


@pytest.mark.parametrize("weights", [QuantType.QInt8, QuantType.QUInt8], ids=str)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_quantised_as_it_runs(
    name: str, per_channel: bool, weights: QuantType, tmp_path: Path
) -> None:
    proto, inputs = MODELS[name]()
    out = tmp_path / "quantised.onnx"
    quantize_dynamic(
        saved(proto, tmp_path), out, per_channel=per_channel, weight_type=weights, reduce_range=True
    )
    made = onnx.load(out)
    assert quantised(made)
    agree(made, inputs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator], ids=str)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_quantised_by_samples(
    name: str, per_channel: bool, form: QuantFormat, tmp_path: Path
) -> None:
    proto, inputs = MODELS[name]()
    out = tmp_path / "quantised.onnx"
    quantize_static(
        saved(proto, tmp_path),
        out,
        Samples(inputs),
        quant_format=form,
        per_channel=per_channel,
        weight_type=QuantType.QInt8,
        reduce_range=True,
    )
    made = onnx.load(out)
    assert quantised(made)
    agree(made, inputs, rtol=0, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_kernels_compute_the_same_of_quantised_numbers(name: str, tmp_path: Path) -> None:
    proto, inputs = MODELS[name]()
    path, out = saved(proto, tmp_path), tmp_path / "quantised.onnx"
    if name == "classifier":
        quantize_static(
            path, out, Samples(inputs), QuantFormat.QOperator, per_channel=True, reduce_range=True
        )
    else:
        quantize_dynamic(path, out, reduce_range=True)
    agree(onnx.load(out), inputs, kernels=True, rtol=1e-3, atol=0.1)


def optimised(proto: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """As a session writes it at level extended."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return onnx.load(folder / "optimised.onnx")


@pytest.mark.parametrize("opset", [12, 13])
def test_what_a_session_makes_of_an_encoder(opset: int, tmp_path: Path) -> None:
    proto, inputs = encoder(opset=opset)
    made = optimised(proto, tmp_path)
    assert {"FusedMatMul", "Gelu", "SkipLayerNormalization"} <= own(made).keys()
    program = agree(made, inputs, atol=1e-4)
    nodes = Counter(n.op for call in program.calls for n in call.workload.nodes)
    assert nodes["attention"] == 2
    assert nodes["softmax"] == 0
    assert nodes["layer_norm"] == 5


def test_what_a_session_makes_of_a_classifier(tmp_path: Path) -> None:
    made = optimised(classifier(), tmp_path)
    assert "FusedConv" in own(made)
    agree(made, {"x": IMAGE}, atol=1e-4)


def test_what_the_optimiser_of_transformers_makes_of_an_encoder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without what infers shapes by a package for algebra."""
    monkeypatch.setattr(FusionUtils, "remove_useless_cast_nodes", lambda utils: None)
    options = FusionOptions("bert")
    options.enable_shape_inference = False
    proto, inputs = encoder()
    model = BertOnnxModel(proto, num_heads=2, hidden_size=16)
    model.optimize(options)
    model.topological_sort()
    made = model.model
    assert {"Attention", "EmbedLayerNormalization", "SkipLayerNormalization"} <= own(made).keys()
    program = agree(made, inputs, atol=1e-4)
    nodes = Counter(n.op for call in program.calls for n in call.workload.nodes)
    assert nodes["attention"] == 2
    assert nodes["softmax"] == 0
    assert nodes["layer_norm"] == 5
