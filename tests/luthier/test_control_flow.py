"""Models that loop and choose while they run, by the public functions."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier.correctness.sensitivity import shaken_model
from luthier.correctness.tolerance import tolerances
from luthier.frontend import import_model, read_model
from luthier.inputs.samples import random_inputs
from luthier.schedules import Target, Tensor
from luthier.tuning.footprint import activation_bytes, weight_bytes

N = helper.make_node
FLOAT, BOOL, INT = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64


def info(name: str, kind: int, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.fixture
def proto() -> onnx.ModelProto:
    """h = tanh(h @ w) n times, or until it is small; then |h| or -h."""
    weights = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    body = helper.make_graph(
        [
            N("MatMul", ["h", "w"], ["p"], name="step"),
            N("Tanh", ["p"], ["next"]),
            N("ReduceMax", ["next"], ["most"], keepdims=0),
            N("Greater", ["most", "least"], ["go"]),
        ],
        "body",
        [info("i", INT), info("c", BOOL), info("h", FLOAT, 2, 8)],
        [info("go", BOOL), info("next", FLOAT, 2, 8)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.float32(-2), "least")],
    )
    sides = [
        helper.make_graph([N(op, ["h_last"], [op])], op, [], [info(op, FLOAT, 2, 8)])
        for op in ("Abs", "Neg")
    ]
    nodes = [
        N("Loop", ["n", "", "x"], ["h_last"], name="again", body=body),
        N("If", ["flag"], ["y"], then_branch=sides[0], else_branch=sides[1]),
    ]
    inputs = [info("x", FLOAT, 2, 8), info("n", INT), info("flag", BOOL)]
    graph = helper.make_graph(nodes, "loops", inputs, [info("y", FLOAT, 2, 8)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_it_is_built_checked_and_described(proto, tmp_path):
    luthier.build(proto, tmp_path / "loops")
    assert luthier.check(tmp_path / "loops").ok
    with luthier.load(tmp_path / "loops") as artifact:
        sources = [step.source for step in artifact.manifest.steps]
        assert any("'step'" in s and s.endswith(", in Loop 'again'") for s in sources)
        assert {s.split(", in ")[-1] for s in sources} == {"Loop 'again'", "If 'y'"}
        assert {entry.count for entry in artifact.manifest.kernels} == {1}


def test_it_agrees_with_the_reference(proto):
    assert luthier.check(proto).ok


def test_its_kernels_are_timed(proto, tmp_path):
    luthier.build(proto, tmp_path / "loops")
    with luthier.load(tmp_path / "loops") as artifact:
        inputs = {"x": np.ones((2, 8), np.float32), "flag": np.array(True)}
        never = artifact.profile({**inputs, "n": np.array(0)})
        often = artifact.profile({**inputs, "n": np.array(2000)})
    repeated = [i for i, s in enumerate(artifact.manifest.steps) if "Loop" in s.source]
    assert all(never[i] == 0 for i in repeated)
    assert all(often[i] > 0 for i in repeated)


def test_random_inputs_run_loops_a_few_times(proto):
    numbers = {int(random_inputs(proto, seed)["n"]) for seed in range(40)}
    assert min(numbers) == 0
    assert max(numbers) == 8


def test_weights_of_bodies_are_shaken(proto):
    def weights(model):
        return numpy_helper.to_array(model.graph.node[0].attribute[0].g.initializer[0])

    before, after = weights(proto), weights(shaken_model(proto, 0))
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(before, after, 1e-5)


def test_tolerances_see_the_types_of_bodies(proto):
    body = proto.graph.node[0].attribute[0].g
    body.node[1].output[0] = "t"
    body.node.insert(2, N("Cast", ["t"], ["half"], to=TensorProto.FLOAT16))
    body.node.insert(3, N("Cast", ["half"], ["next"], to=FLOAT))
    assert tolerances(proto, {"y": Tensor((2, 8))})["y"].why == "float16"


def test_the_memory_of_a_run(proto):
    """x, h of two iterations and the product, n and flag; the weights once."""
    program = import_model(read_model(proto), Target("x86-64-v2", "x86-64-v2", 1))
    assert weight_bytes(program) == 8 * 8 * 4
    assert 3 * 64 + 9 <= activation_bytes(program) <= 6 * 64 + 32
