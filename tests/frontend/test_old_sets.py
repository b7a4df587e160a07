"""Operator sets before 7, as onnx converts them in a process of its own."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from microsoft_models import runtime
from onnx import TensorProto, helper, numpy_helper
from onnx_models import TARGET, compute, floats

from luthier.frontend import import_model
from luthier.frontend.onnx import old_sets
from luthier.schedules import ModelError

N = helper.make_node


def old(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, np.ndarray],
    constants: dict[str, np.ndarray],
    version: int,
    result: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of IR version 3, in which constants are inputs, too."""
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in {**inputs, **constants}.items()
    ]
    given = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    y = helper.make_tensor_value_info("y", result, None)
    graph = helper.make_graph(nodes, "old", infos, [y], given)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
    made.ir_version = 3
    return made


X, B = floats(2, 3, 4, 5), floats(3)
FOUR = [np.abs(floats(3, seed=i)) for i in range(4)]
NAMES = ["scale", "shift", "mean", "variance"]


def normalised() -> np.ndarray:
    scale, shift, mean, variance = (a.reshape(3, 1, 1) for a in FOUR)
    return (X - mean) / np.sqrt(variance + 1e-5) * scale + shift


@pytest.mark.parametrize(
    ("nodes", "constants", "version", "wanted"),
    [
        ([N("Add", ["x", "b"], ["y"], broadcast=1, axis=1)], {"b": B}, 6, X + B[:, None, None]),
        ([N("Add", ["x", "b"], ["y"], broadcast=1, axis=1)], {"b": B}, 1, X + B[:, None, None]),
        ([N("Mul", ["x", "b"], ["y"], broadcast=1)], {"b": floats(5)}, 6, X * floats(5)),
        ([N("Sub", ["x", "x"], ["s"]), N("Relu", ["s"], ["y"])], {}, 6, X * 0),
        ([N("Dropout", ["x"], ["y"], is_test=1)], {}, 6, X),
        ([N("Concat", ["x", "x"], ["y"])], {}, 1, np.concatenate([X, X], 1)),
        ([N("Reshape", ["x"], ["y"], shape=[6, -1])], {}, 1, X.reshape(6, 20)),
        (
            [N("BatchNormalization", ["x", *NAMES], ["y"], is_test=1)],
            dict(zip(NAMES, FOUR, strict=True)),
            6,
            normalised(),
        ),
    ],
    ids=lambda v: "-".join(n.op_type for n in v) if isinstance(v, list) else "",
)
def test_an_old_operator_is_what_it_was(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], version: int, wanted: np.ndarray
) -> None:
    program = import_model(old(nodes, {"x": X}, constants, version), TARGET)
    (found,) = compute(program, {"x": X}).values()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, 1e-5, 1e-6)


def test_what_onnx_runtime_alone_has_is_set_aside_meanwhile() -> None:
    """onnx's converter does not know it, and what comes after it has a shape nevertheless."""
    nodes = [
        N("Crop", ["x"], ["a"], border=[1, 2, 1, 0]),
        N("ThresholdedRelu", ["x"], ["b"], alpha=0.25),
        N("MeanVarianceNormalization", ["b"], ["c"]),
        N("Affine", ["c"], ["d"], alpha=2.0, beta=0.5),
        N("LayerNormalization", ["d", "row", "row"], ["y"]),
    ]
    wanted = runtime(old(nodes, {"x": X}, {"row": floats(5)}, 6), {"x": X})["y"]
    nodes[-1].output[:] = ["e"]
    nodes.append(N("Add", ["e", "b3"], ["y"], broadcast=1, axis=1))
    made = old(nodes, {"x": X}, {"row": floats(5), "b3": B}, 6)
    made.graph.output.append(helper.make_empty_tensor_value_info("a"))
    made.graph.output[-1].type.tensor_type.elem_type = TensorProto.FLOAT
    found = compute(import_model(made, TARGET), {"x": X})
    np.testing.assert_allclose(found["y"], wanted + B[:, None, None], 1e-4, 1e-5)
    np.testing.assert_array_equal(found["a"], X[:, :, 2:, 1:4])


def test_large_weights_stay_here() -> None:
    """They are not handed over to be converted, and are there afterwards."""
    w = floats(60, 70)
    made = old([N("MatMul", ["x", "w"], ["y"])], {"x": floats(2, 60)}, {"w": w}, 6)
    light, weights = old_sets._without_weights(made)
    assert light.ByteSize() < 2000
    assert list(weights) == ["w"]
    (found,) = compute(import_model(made, TARGET), {"x": floats(2, 60)}).values()
    np.testing.assert_allclose(found, floats(2, 60) @ w, 1e-4, 1e-5)


def refused(made: onnx.ModelProto) -> str:
    with pytest.raises(ModelError) as error:
        import_model(made, TARGET)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "node",
    [
        N("Add", ["x", "nowhere"], ["y"]),
        N("Nothing", ["x"], ["y"]),
        N("Cast", ["x"], ["y"], to=b"\xff\xfe"),
        N("Reshape", ["x"], ["y"]),
    ],
    ids=lambda node: node.op_type,
)
def test_what_cannot_be_converted_is_refused_in_one_line(node: onnx.NodeProto) -> None:
    assert "operator set 7" in refused(old([node], {"x": X}, {}, 6))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os\nos.abort()", "onnx crashes"),
        ("import time\ntime.sleep(60)", "onnx takes longer than 1 s"),
        ("import sys\nsys.exit('no\\nreason')", "(reason)"),
    ],
)
def test_a_converter_that_ends_or_hangs_is_survived(
    program: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_sets, "_PROGRAM", program)
    monkeypatch.setattr(old_sets, "_MOST_SECONDS", 1)
    assert said in refused(old([N("Relu", ["x"], ["y"])], {"x": X}, {}, 6))


def test_slopes_of_newer_sets_belong_to_the_last_dimension() -> None:
    """Of sets before 7 they belong to channels, which are 5 here too."""
    x, slope = -np.abs(floats(2, 5, 3, 5)), floats(5)
    node = N("PRelu", ["x", "slope"], ["y"])
    made = old_sets.converted(old([node], {"x": x}, {"slope": slope}, 9), 13, "it")
    assert made.opset_import[0].version == 13
    (found,) = compute(import_model(made, TARGET), {"x": x}).values()
    np.testing.assert_allclose(found, x * slope, 1e-6)
