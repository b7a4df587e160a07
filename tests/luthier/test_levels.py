"""A library for an older level of x86-64 runs on a newer machine, and computes the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier.schedules.target import host_level

LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
RUNNABLE = LEVELS[: LEVELS.index(host_level()) + 1]


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """A kernel of each kind, sizes that no vector divides."""
    rng = np.random.default_rng(0)
    shapes = {
        "w0": (19, 3, 3, 3),
        "w1": (19, 19, 3, 3),
        "w2": (19, 1, 3, 3),
        "w3": (37, 19, 1, 1),
        "w4": (37, 11),
        "w5": (19, 19, 1, 1),
    }
    weights = {
        name: (rng.standard_normal(s) / np.sqrt(np.prod(s[1:]))).astype(np.float32)
        for name, s in shapes.items()
    }
    weights |= {"s": np.ones(37, np.float32), "b": np.full(37, 0.1, np.float32)}
    pad = {"pads": [1, 1, 1, 1]}
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "w0"], ["a"], **pad),
        make("Relu", ["a"], ["b0"]),
        make("Conv", ["b0", "w1"], ["c"], **pad),
        make("Add", ["c", "b0"], ["d"]),
        make("Conv", ["d", "w5"], ["d1"]),
        make("Sigmoid", ["d1"], ["d2"]),
        make("Conv", ["d2", "w2"], ["e"], group=19, strides=[2, 2], **pad),
        make("MaxPool", ["e"], ["f"], kernel_shape=[2, 2], strides=[2, 2]),
        make("Conv", ["f", "w3"], ["g"]),
        make("InstanceNormalization", ["g", "s", "b"], ["h"]),
        make("Sigmoid", ["h"], ["i"]),
        make("GlobalAveragePool", ["i"], ["j"]),
        make("Flatten", ["j"], ["k"]),
        make("LayerNormalization", ["k", "s", "b"], ["l"]),
        make("MatMul", ["l", "w4"], ["m"]),
        make("Softmax", ["m"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "levels",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 29, 31))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 11))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("accuracy", ["strict", "standard"])
@pytest.mark.parametrize("level", RUNNABLE)
def test_a_network_built_for_a_level_agrees_with_the_reference(network, level, accuracy):
    report = luthier.check(network, target=level, log=None, threads=2, runs=2, accuracy=accuracy)
    assert report.ok, report.outputs


@pytest.mark.parametrize("level", RUNNABLE)
def test_the_library_asks_for_no_more_than_its_level(network, level, tmp_path):
    luthier.build(network, tmp_path / "out", target=level, log=None, threads=1)
    allowed = set(luthier.target(level).features)
    with luthier.load(tmp_path / "out") as artifact:
        assert artifact.manifest.target.level == level
        assert set(artifact.manifest.target.features) == allowed
        (scores,) = artifact(np.zeros((1, 3, 29, 31), np.float32))
    np.testing.assert_allclose(scores.sum(), 1, rtol=1e-5)
