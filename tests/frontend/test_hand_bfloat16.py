"""Values that only products of bfloat16 read lie in memory as bfloat16."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import floats, model

from luthier.frontend import Program, import_model
from luthier.schedules import Target
from luthier.schedules.ops import evaluate
from luthier.schedules.target import parse

N = helper.make_node
TARGET = replace(parse("znver4+bf16", 1), accuracy="bf16")
BATCH, WIDE, HIDDEN = 40, 32, 96


def chain(*after: onnx.NodeProto, outputs: list[str]) -> onnx.ModelProto:
    """A norm, a product with an activation, and one that reads it; then ``after``."""
    weights = {
        "w1": floats(WIDE, HIDDEN, seed=1),
        "w2": floats(HIDDEN, WIDE, seed=2),
        "scale": floats(WIDE, seed=3),
        "shift": floats(WIDE, seed=4),
    }
    nodes = [
        N("LayerNormalization", ["x", "scale", "shift"], ["n"]),
        N("MatMul", ["n", "w1"], ["h"]),
        N("Relu", ["h"], ["r"]),
        N("MatMul", ["r", "w2"], ["y"]),
    ]
    return model([*nodes, *after], {"x": floats(BATCH, WIDE)}, outputs, weights, opset=20)


def types(program: Program) -> list[str]:
    """Of what calls give, in order."""
    return [program.values[call.result].dtype for call in program.calls]


def test_what_products_alone_read() -> None:
    assert types(import_model(chain(outputs=["y"]), TARGET)) == ["bfloat16", "bfloat16", "float32"]


def test_not_what_a_model_gives_or_others_read() -> None:
    assert types(import_model(chain(outputs=["y", "r"]), TARGET)) == [
        "bfloat16",
        "float32",
        "float32",
    ]
    residual = chain(N("Add", ["n", "y"], ["z"]), outputs=["z"])
    assert types(import_model(residual, TARGET)) == ["float32", "bfloat16", "float32"]


def test_views_of_it_lie_so_too() -> None:
    after = [
        N("Reshape", ["r", "shape"], ["s"]),
        N("MatMul", ["s", "w2"], ["v"]),
        N("Reshape", ["v", "back"], ["b"]),
        N("Add", ["b", "y"], ["z"]),
    ]
    made = chain(*after, outputs=["z"])
    for name, sizes in (("shape", (4, 10, HIDDEN)), ("back", (BATCH, WIDE))):
        array = onnx.numpy_helper.from_array(np.array(sizes, np.int64), name)
        made.graph.initializer.append(array)
    program = import_model(made, TARGET)
    short = [i for i, tensor in enumerate(program.values) if tensor.dtype == "bfloat16"]
    assert any(program.base(value) != value for value in short)
    assert all(program.values[program.base(value)].dtype == "bfloat16" for value in short)


@pytest.mark.parametrize(
    "target",
    [
        replace(TARGET, accuracy="standard"),
        replace(TARGET, extensions=()),
        replace(parse("sapphirerapids+bf16", 1), accuracy="bf16"),
    ],
    ids=["not asked for", "no instruction", "a slow one"],
)
def test_only_where_products_round(target: Target) -> None:
    assert set(types(import_model(chain(outputs=["y"]), target))) == {"float32"}


def test_results_are_those_of_rounding_where_it_is_read() -> None:
    program = import_model(chain(outputs=["y"]), TARGET)
    known = {**program.constants, program.inputs[0][1]: floats(BATCH, WIDE)}
    for call in program.calls:
        known[call.result] = evaluate.run(call.workload, [known[arg] for arg in call.args])
    x = floats(BATCH, WIDE).astype(np.float64)
    n = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    n = (n * floats(WIDE, seed=3) + floats(WIDE, seed=4)).astype(ml_dtypes.bfloat16)
    r = np.maximum(n.astype(np.float64) @ floats(WIDE, HIDDEN, seed=1), 0)
    want = r.astype(ml_dtypes.bfloat16).astype(np.float64) @ floats(HIDDEN, WIDE, seed=2)
    got = known[program.outputs[0][1]]
    assert np.abs(got - want).max() < 2.0**-8 * np.abs(want).max()


def heads(width: int) -> onnx.ModelProto:
    """Self-attention of two heads, and what projects its result."""
    names = ("q", "k", "v")
    weights = {f"w{n}": floats(WIDE, 2 * width, seed=i) for i, n in enumerate(names)}
    weights["wo"] = floats(2 * width, WIDE, seed=9)
    nodes = []
    for n in names:
        order = [0, 2, 3, 1] if n == "k" else [0, 2, 1, 3]
        nodes += [
            N("MatMul", ["x", f"w{n}"], [f"{n}0"]),
            N("Reshape", [f"{n}0", "split"], [f"{n}1"]),
            N("Transpose", [f"{n}1"], [n], perm=order),
        ]
    nodes += [
        N("MatMul", ["q", "k"], ["scores"]),
        N("Mul", ["scores", "factor"], ["scaled"]),
        N("Softmax", ["scaled"], ["shares"], axis=-1),
        N("MatMul", ["shares", "v"], ["sums"]),
        N("Transpose", ["sums"], ["moved"], perm=[0, 2, 1, 3]),
        N("Reshape", ["moved", "joined"], ["a"]),
        N("MatMul", ["a", "wo"], ["y"]),
    ]
    weights["split"] = np.array([1, BATCH, 2, width], np.int64)
    weights["joined"] = np.array([1, BATCH, 2 * width], np.int64)
    weights["factor"] = np.array(width**-0.5, np.float32)
    return model(nodes, {"x": floats(1, BATCH, WIDE)}, ["y"], weights, opset=20)


def test_attention_takes_and_gives_it() -> None:
    program = import_model(heads(16), TARGET)
    (attention,) = [c for c in program.calls if c.workload.nodes[0].op == "attention"]
    first = attention.workload.nodes[0]
    assert {attention.workload.tensor(arg).dtype for arg in first.args} == {"bfloat16"}
    assert attention.workload.output.dtype == "bfloat16"
    assert program.values[program.outputs[0][1]].dtype == "float32"


def test_pairs_must_be_whole() -> None:
    program = import_model(heads(15), TARGET)
    (attention,) = [c for c in program.calls if c.workload.nodes[0].op == "attention"]
    q, k, v = (attention.workload.tensor(arg).dtype for arg in attention.workload.nodes[0].args)
    assert (q, k, v) == ("float32", "float32", "bfloat16")


def enlarging(pool: onnx.NodeProto, *after: onnx.NodeProto, outputs: list[str]) -> onnx.ModelProto:
    """Pixels that a product reads pooled, enlarged, and as they are beside that."""
    weights = {
        "a": floats(32, 16, 1, 1, seed=1),
        "b": floats(32, 32, 1, 1, seed=2),
        "c": floats(32, 32, 2, 2, seed=3),
        "d": floats(16, 64, 1, 1, seed=4),
    }
    nodes = [
        N("Conv", ["x", "a"], ["h"]),
        N("Relu", ["h"], ["r"]),
        pool,
        N("Conv", ["p", "b"], ["q"]),
        N("ConvTranspose", ["q", "c"], ["u"], strides=[2, 2]),
        N("Concat", ["u", "r"], ["s"], axis=1),
        N("Conv", ["s", "d"], ["y"]),
    ]
    return model([*nodes, *after], {"x": floats(1, 16, 12, 10)}, outputs, weights, opset=20)


LARGEST = N("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2])
MEAN = N("AveragePool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2])


def short(made: onnx.ModelProto) -> list[str]:
    """The operators of the calls that give bfloat16, by their first nodes."""
    program = import_model(made, TARGET)
    return [
        call.workload.nodes[0].op
        for call in program.calls
        if program.values[call.result].dtype == "bfloat16"
    ]


def test_what_is_pooled_and_what_lies_side_by_side() -> None:
    handed = ["conv2d", "max_pool2d", "conv2d", "conv2d_transpose"]
    assert [op for op in short(enlarging(LARGEST, outputs=["y"])) if op != "transpose"] == handed


def test_means_are_not_rounded_before() -> None:
    found = short(enlarging(MEAN, outputs=["y"]))
    assert [op for op in found if op != "transpose"] == ["conv2d"]


def test_all_that_lies_side_by_side_stays_where_a_part_does() -> None:
    found = short(enlarging(LARGEST, N("Neg", ["r"], ["z"]), outputs=["y", "z"]))
    assert "conv2d_transpose" not in found


def test_pools_beside_what_they_read() -> None:
    """As detectors have them: each pools the one before, and all lie side by side."""
    weights = {"a": floats(32, 16, 1, 1, seed=1), "b": floats(8, 96, 1, 1, seed=2)}
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        N("Conv", ["x", "a"], ["r"]),
        N("MaxPool", ["r"], ["p"], **window),
        N("MaxPool", ["p"], ["q"], **window),
        N("Concat", ["r", "p", "q"], ["s"], axis=1),
        N("Conv", ["s", "b"], ["y"]),
    ]
    made = model(nodes, {"x": floats(1, 16, 12, 10)}, ["y"], weights, opset=20)
    found = short(made)
    assert [op for op in found if op != "transpose"] == ["conv2d", "max_pool2d", "max_pool2d"]
