"""Models with concatenations, built and run beside ONNX Runtime: pieces are written in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier.correctness.reference import reference
from luthier.schedules.ir.placement import DENSE

SIZES = (1, 2)


def dense_block(batch: int, joined_is_output: bool) -> onnx.ModelProto:
    """Convolutions whose results are joined, the second with what was joined before.

    ``pool`` reads the first piece beside the concatenation; channel counts are odd.
    """
    rng = np.random.default_rng(0)
    weights = {
        "w0": rng.standard_normal((7, 3, 3, 3)),
        "w1": rng.standard_normal((5, 7, 1, 1)),
        "w2": rng.standard_normal((9, 12, 3, 3)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["a"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["a", "w1"], ["b0"]),
        helper.make_node("Relu", ["b0"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["ab"], axis=1),
        helper.make_node("Tanh", ["ab"], ["bent"]),
        helper.make_node("Conv", ["bent", "w2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["ab", "c", "x"], ["abcx"], axis=1),
        helper.make_node("Sigmoid", ["abcx"], ["y"]),
    ]
    if joined_is_output:
        nodes.pop()
    shapes = {"pool": (batch, 7, 4, 5), "abcx" if joined_is_output else "y": (batch, 24, 9, 11)}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, 3, 9, 11))],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rows(batch: int) -> onnx.ModelProto:
    """Products joined along their last axis, as an output: nothing is transposed after it."""
    rng = np.random.default_rng(1)
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("MatMul", ["x", "w1"], ["b"]),
        helper.make_node("Concat", ["a", "b", "x"], ["y"], axis=2),
    ]
    weights = {"w0": rng.standard_normal((6, 7)), "w1": rng.standard_normal((6, 21))}
    ports = [("x", (batch, 5, 6)), ("y", (batch, 5, 34))]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ports]
    initial = [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()]
    graph = helper.make_graph(nodes, "rows", infos[:1], infos[1:], initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


MODELS = {
    "dense block": lambda batch: dense_block(batch, False),
    "joined output": lambda batch: dense_block(batch, True),
    "rows": rows,
}


@pytest.mark.parametrize("batch", SIZES)
@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_onnx_runtime(name: str, batch: int, tmp_path: Path) -> None:
    proto = MODELS[name](batch)
    luthier.build(proto, tmp_path / "m", log=None, threads=2)
    shape = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    with luthier.load(tmp_path / "m") as artifact:
        assert sum(k.placement != DENSE for k in artifact.manifest.kernels) >= 2
        types = {port.name: port.tensor for port in artifact.outputs}
        (truth,) = reference(proto, [{"x": x}], types).outputs
        for _ in range(2):
            ours = artifact.run({"x": x})
            for output, want in truth.items():
                np.testing.assert_allclose(ours[output], want, rtol=1e-4, atol=1e-4)


def test_a_kernel_takes_its_record_wherever_its_output_lies(tmp_path: Path) -> None:
    """Placement is not part of what was measured."""
    log = tmp_path / "log.db"
    proto = rows(1)
    tuned = luthier.tune(proto, trials=6, log=log, threads=2)
    report = luthier.build(proto, tmp_path / "m", log=log, threads=2)
    assert report.from_records == len(tuned.kernels)
    with luthier.load(tmp_path / "m") as artifact:
        sources = {k.source for k in artifact.manifest.kernels if k.placement != DENSE}
    assert sources == {"record"}
