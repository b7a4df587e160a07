"""Recurrent layers from the model to the library: tuned, of open sizes, with state, in loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier.inputs.samples import random_inputs

Shape = tuple[int | str, ...]


def weights(op: str, inputs: int, hidden: int, directions: int = 1) -> dict[str, np.ndarray]:
    rng, gates = np.random.default_rng(hidden), {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    shapes = {
        "w": (directions, gates * hidden, inputs),
        "r": (directions, gates * hidden, hidden),
        "b": (directions, 2 * gates * hidden),
    }
    most = hidden**-0.5
    return {n: rng.uniform(-most, most, s).astype(np.float32) for n, s in shapes.items()}


def layer(
    op: str,
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    known: dict[str, np.ndarray],
    **attrs,
) -> onnx.ModelProto:
    """x, the weights, no lengths, and the states, in order."""
    given = [n for n in inputs if n != "x"]
    attrs = {"hidden_size": known["r"].shape[2], **attrs}
    node = helper.make_node(op, ["x", "w", "r", "b", "", *given], [*outputs], **attrs)
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in known.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def run(proto: onnx.ModelProto, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [o.name for o in proto.graph.output]
    return dict(zip(names, session.run(names, given), strict=True))


def agree(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    for name, array in theirs.items():
        assert ours[name].shape == array.shape
        np.testing.assert_allclose(ours[name], array, 1e-4, 1e-5, err_msg=name)


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def test_a_tuned_layer_is_right(tmp_path: Path) -> None:
    """Of two threads that share each step."""
    known = weights("LSTM", 40, 300)
    proto = layer("LSTM", {"x": (9, 1, 40)}, {"y": (9, 1, 1, 300), "h": (1, 1, 300)}, known)
    report = luthier.tune_and_build(
        proto, tmp_path / "layer", trials=3, threads=2, log=tmp_path / "log.db"
    )
    assert report.problems == ()
    x = drawn(9, 1, 40)
    with luthier.load(tmp_path / "layer", threads=2) as artifact:
        first = artifact.run({"x": x})
        agree(first, run(proto, {"x": x}))
        for _ in range(50):
            assert all(np.array_equal(first[n], a) for n, a in artifact.run({"x": x}).items())


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_steps_and_batches_are_open(op: str, tmp_path: Path) -> None:
    state: Shape = (2, "batch", 19)
    inputs: dict[str, Shape] = {"x": ("steps", "batch", 7), "h": state}
    outputs: dict[str, Shape] = {"y": ("steps", 2, "batch", 19), "h_last": state}
    known = weights(op, 7, 19, 2)
    proto = layer(op, inputs, outputs, known, direction="bidirectional")
    shapes = {"steps": range(1, 41), "batch": range(1, 4)}
    report = luthier.build(proto, tmp_path / "layer", log=None, shapes=shapes, threads=2)
    assert report.problems == ()
    with luthier.load(tmp_path / "layer") as artifact:
        for steps, batch in ((1, 1), (40, 3), (3, 2), (17, 1)):
            given = {"x": drawn(steps, batch, 7), "h": drawn(2, batch, 19)}
            agree(artifact.run(given), run(proto, given))


def test_no_step_leaves_a_state_of_zeros(tmp_path: Path) -> None:
    """ONNX Runtime may end the process there: it is not asked."""
    inputs: dict[str, Shape] = {"x": ("steps", 2, 3), "h": (2, 2, 4)}
    outputs: dict[str, Shape] = {"y": ("steps", 2, 2, 4), "h_last": (2, 2, 4)}
    proto = layer("GRU", inputs, outputs, weights("GRU", 3, 4, 2), direction="bidirectional")
    luthier.build(proto, tmp_path / "layer", log=None, shapes={"steps": (0, 2)})
    with luthier.load(tmp_path / "layer") as artifact:
        given = {"x": drawn(2, 2, 3), "h": drawn(2, 2, 4)}
        agree(artifact.run(given), run(proto, given))
        none = artifact.run({**given, "x": drawn(0, 2, 3)})
        assert none["y"].shape == (0, 2, 2, 4)
        assert not none["h_last"].any()


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_a_state_is_kept_from_run_to_run(op: str, tmp_path: Path) -> None:
    """Step by step it gives what a run over all steps gives."""
    states = ("h", "c") if op == "LSTM" else ("h",)
    inputs: dict[str, Shape] = {"x": (1, 1, 16), **dict.fromkeys(states, (1, 1, 48))}
    outputs: dict[str, Shape] = {"y": (1, 1, 1, 48)}
    outputs |= {f"{name}_out": (1, 1, 48) for name in states}
    known = weights(op, 16, 48)
    luthier.build(
        layer(op, inputs, outputs, known),
        tmp_path / "cell",
        log=None,
        state={name: f"{name}_out" for name in states},
    )
    x = drawn(12, 1, 16)
    whole = layer(op, {"x": (12, 1, 16)}, {"y": (12, 1, 1, 48)}, known)
    with luthier.load(tmp_path / "cell") as artifact:
        for _ in range(2):
            artifact.state.reset()
            steps = [artifact.run({"x": x[t : t + 1]})["y"] for t in range(12)]
            agree({"y": np.concatenate(steps)}, run(whole, {"x": x}))


def test_a_layer_in_a_loop(tmp_path: Path) -> None:
    """Whose number of iterations is an input."""
    known = weights("GRU", 20, 20)
    body = helper.make_graph(
        [
            helper.make_node(
                "GRU", ["x_in", "w", "r", "b", "", "h_in"], ["y", "h_next"], hidden_size=20
            ),
            helper.make_node("Squeeze", ["y", "one"], ["x_next"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("x_in", TensorProto.FLOAT, (5, 2, 20)),
            helper.make_tensor_value_info("h_in", TensorProto.FLOAT, (1, 2, 20)),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("x_next", TensorProto.FLOAT, (5, 2, 20)),
            helper.make_tensor_value_info("h_next", TensorProto.FLOAT, (1, 2, 20)),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["times", "", "x", "h"], ["y_end", "h_end"], body=body)],
        "looped",
        [
            helper.make_tensor_value_info("times", TensorProto.INT64, ()),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, (5, 2, 20)),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, (1, 2, 20)),
        ],
        [
            helper.make_tensor_value_info("y_end", TensorProto.FLOAT, (5, 2, 20)),
            helper.make_tensor_value_info("h_end", TensorProto.FLOAT, (1, 2, 20)),
        ],
        [
            *(numpy_helper.from_array(array, name) for name, array in known.items()),
            numpy_helper.from_array(np.array([1]), "one"),
        ],
    )
    opsets = [helper.make_opsetid("", 18)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    luthier.build(proto, tmp_path / "looped", log=None)
    with luthier.load(tmp_path / "looped") as artifact:
        for times in (0, 1, 4):
            given = {"times": np.array(times), "x": drawn(5, 2, 20), "h": drawn(1, 2, 20)}
            agree(artifact.run(given), run(proto, given))


def test_random_lengths_are_those_that_sequences_have() -> None:
    known = weights("RNN", 3, 4)
    proto = layer("RNN", {"x": (6, 50, 3)}, {"y": (6, 1, 50, 4)}, known)
    proto.graph.node[0].input[4] = "lengths"
    info = helper.make_tensor_value_info("lengths", TensorProto.INT32, (50,))
    proto.graph.input.append(info)
    lengths = random_inputs(proto, 3)["lengths"]
    assert (lengths.min(), lengths.max()) == (1, 6)
