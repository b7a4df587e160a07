"""Sound libraries are within their tolerance, whatever types and roundings; wrong ones are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier.correctness.compare import Outputs
from luthier.correctness.states import run_from
from luthier.correctness.tolerance import tolerances
from luthier.deploy import Artifact
from luthier.schedules import Tensor

N = helper.make_node
FLOAT, HALF, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[int]]],
    outputs: Mapping[str, int],
    constants: Mapping[str, Any] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=8)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


SCALES = {"s": np.float32(0.05), "t": np.float32(0.1), "z": np.int8(0)}
X = {"x": (FLOAT, [1, 8, 24, 24])}


def quantised(last: str) -> onnx.ModelProto:
    """A quantised convolution, whose result leaves as int8, as floats, or through a product."""
    weights = np.random.default_rng(0).integers(-127, 128, (16, 8, 3, 3)).astype(np.int8)
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        N("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        N("DequantizeLinear", ["w", "ws", "z"], ["wd"]),
        N("Conv", ["xd", "wd"], ["c"], pads=[1, 1, 1, 1]),
        N("QuantizeLinear", ["c", "t", "z"], ["q"]),
    ]
    if last != "q":
        nodes += [N("DequantizeLinear", ["q", "t", "z"], ["d"])]
    if last == "y":
        nodes += [N("Flatten", ["d"], ["f"]), N("MatMul", ["f", "v"], ["y"])]
    constants = {**SCALES, "w": weights, "ws": np.float32(0.01), "v": normal(16 * 576, 10) / 20}
    return model(nodes, X, {last: TensorProto.INT8 if last == "q" else FLOAT}, constants)


def ties() -> onnx.ModelProto:
    """Six quantised layers whose sums are often midway between two steps; then a product.

    Which way a tie goes depends on the order of a sum, and every layer has its own.
    """
    rng = np.random.default_rng(0)
    constants: dict[str, Any] = {"s": np.float32(0.1), "z": np.int8(0), "ws": np.float32(0.05)}
    nodes, value = [], "x"
    for i in range(6):
        constants[f"w{i}"] = rng.integers(-3, 4, (96, 96)).astype(np.int8)
        nodes += [
            N("QuantizeLinear", [value, "s", "z"], [f"q{i}"]),
            N("DequantizeLinear", [f"q{i}", "s", "z"], [f"d{i}"]),
            N("DequantizeLinear", [f"w{i}", "ws", "z"], [f"v{i}"]),
            N("MatMul", [f"d{i}", f"v{i}"], [f"m{i}"]),
            N("Tanh", [f"m{i}"], [f"t{i}"]) if i % 2 else N("Identity", [f"m{i}"], [f"t{i}"]),
        ]
        value = f"t{i}"
    constants["last"] = normal(96, 10)
    nodes += [N("MatMul", [value, "last"], ["y"])]
    return model(nodes, {"x": (FLOAT, [64, 96])}, {"y": FLOAT}, constants)


def half() -> onnx.ModelProto:
    """Four convolutions in float16; the second output is float32 of what was float16."""
    nodes, value, constants = [], "x", {}
    for i in range(4):
        constants[f"w{i}"] = (normal(16, 16 if i else 8, 3, 3, seed=i) * 0.12).astype(np.float16)
        nodes += [N("Conv", [value, f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1])]
        nodes += [N("Relu", [f"c{i}"], [f"r{i}"])]
        value = f"r{i}"
    nodes += [N("Cast", [value], ["y"], to=FLOAT)]
    return model(nodes, {"x": (HALF, [1, 8, 24, 24])}, {value: HALF, "y": FLOAT}, constants)


def one_hot() -> onnx.ModelProto:
    """A one-hot spelled by Equal, and its columns made even: one that is never hit divides by 0."""
    nodes = [
        N("Unsqueeze", ["ids", "last"], ["column"]),
        N("Equal", ["column", "classes"], ["hot"]),
        N("Cast", ["hot"], ["f"], to=FLOAT),
        N("ReduceMean", ["f"], ["mean"], axes=[0, 1], keepdims=1),
        N("Div", ["f", "mean"], ["y"]),
    ]
    constants = {"last": np.array([-1]), "classes": np.arange(7)}
    return model(nodes, {"ids": (TensorProto.INT64, [8, 20])}, {"y": FLOAT}, constants)


def chosen() -> onnx.ModelProto:
    """The index of the largest of 64 sums, for many places: some are nearly equal."""
    nodes = [N("Conv", ["x", "w"], ["c"]), N("ArgMax", ["c"], ["y"], axis=1)]
    return model(nodes, X, {"y": TensorProto.INT64}, {"w": normal(64, 8, 1, 1)})


def amplifying() -> onnx.ModelProto:
    """What two sums differ by, a hundred thousand times over: both are of the same numbers."""
    nodes = [
        N("MatMul", ["x", "w"], ["p"]),
        N("ReduceMean", ["p"], ["m"], axes=[1], keepdims=1),
        N("MatMul", ["x", "mean_w"], ["n"]),
        N("Sub", ["m", "n"], ["d"]),
        N("Mul", ["d", "k"], ["y"]),
    ]
    weights = normal(64, 64)
    constants = {"w": weights, "mean_w": weights.mean(1, keepdims=True), "k": np.float32(1e5)}
    return model(nodes, {"x": (FLOAT, [32, 64])}, {"y": FLOAT}, constants)


SOUND: dict[str, tuple[Callable[[], onnx.ModelProto], dict[str, str]]] = {
    "quantised, int8": (lambda: quantised("q"), {"q": "one step of the quantisation: atol 1"}),
    "quantised, with ties": (ties, {"y": "float32"}),
    "quantised": (lambda: quantised("d"), {"d": "one step of the quantisation: atol 0.1"}),
    "quantised inside": (lambda: quantised("y"), {"y": "float32"}),
    "float16": (half, {"r3": "float16: rtol 0.01", "y": "float16: rtol 0.01"}),
    "one-hot": (one_hot, {"y": "float32: rtol 0.001"}),
    "ArgMax": (chosen, {"y": "int64, exact"}),
    "amplifying": (amplifying, {"y": "float32"}),
}


@pytest.mark.parametrize("kind", SOUND)
def test_a_sound_library_is_ok_and_its_tolerance_is_reported(kind):
    make, why = SOUND[kind]
    report = luthier.check(make(), log=None, threads=1, runs=2)
    assert report.ok, report
    for output in report.outputs:
        assert str(output.tolerance).startswith(why[output.name])


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("quantised, int8", lambda y: y + np.int8(2)),
        ("quantised", lambda y: y + np.float32(0.21)),
        ("quantised inside", lambda y: y * np.float32(1.01)),
        ("float16", lambda y: y * y.dtype.type(1.05)),
        ("one-hot", lambda y: y + np.float32(0.01)),
        ("ArgMax", lambda y: np.roll(y, 1)),
    ],
)
def test_a_wrong_library_is_found(kind, fault, monkeypatch):
    run = Artifact.run

    def wrong(self: Artifact, inputs: Any, **asked: bool) -> dict[str, Any]:
        return {name: fault(array) for name, array in run(self, inputs, **asked).items()}

    monkeypatch.setattr(Artifact, "run", wrong)
    report = luthier.check(SOUND[kind][0](), log=None, threads=1, runs=2)
    assert not any(output.within for output in report.outputs), report


def test_the_tolerance_of_an_amplifying_model_is_the_reference_s_own_error():
    (output,) = luthier.check(amplifying(), log=None, threads=1, runs=2).outputs
    assert output.absolute > 1e-3, "else the model amplifies nothing"
    assert "runs of onnxruntime" in output.tolerance.why
    assert "are as far apart" in output.tolerance.why
    assert output.tolerance.atol < 10, "an error of 1 in a sum is 1e5 here"


def test_the_sample_of_an_amplifying_model_is_replayed_with_its_tolerance(cli):
    luthier.build(amplifying(), "out", log=None, threads=1)
    report = luthier.check("out")
    assert report.ok
    assert "are as far apart" in report.outputs[0].tolerance.why
    assert "are as far apart" in cli("check", "out").out


# ---- types ----


def of(made: onnx.ModelProto, dtype: str = "float32") -> str:
    names = [output.name for output in made.graph.output]
    return tolerances(made, {n: Tensor((1,), dtype) for n in names})[names[0]].why


@pytest.mark.parametrize(
    ("inputs", "to", "dtype", "why"),
    [
        (FLOAT, FLOAT, "float32", "float32"),
        (HALF, FLOAT, "float32", "float16"),
        (FLOAT, HALF, "float16", "float16"),
        (DOUBLE, DOUBLE, "float64", "float64"),
        (FLOAT, DOUBLE, "float64", "float32"),
        (HALF, DOUBLE, "float64", "float16"),
        (TensorProto.INT32, FLOAT, "float32", "float32"),
        (FLOAT, TensorProto.INT8, "int8", "int8, exact"),
        (FLOAT, TensorProto.BOOL, "bool", "bool, exact"),
    ],
)
def test_the_tolerance_follows_the_least_exact_type_on_the_way(inputs, to, dtype, why):
    made = model([N("Cast", ["x"], ["y"], to=to)], {"x": (inputs, [1])}, {"y": to})
    assert of(made, dtype) == why


@pytest.mark.parametrize(
    ("source", "dtype", "why"),
    [
        (FLOAT, "float32", "bfloat16"),
        (HALF, "float32", "bfloat16"),
        (DOUBLE, "float64", "bfloat16"),
        (FLOAT, "int8", "int8, exact"),
    ],
)
def test_operands_that_are_rounded_count_as_bfloat16(source, dtype, why):
    made = model([N("Neg", ["x"], ["y"])], {"x": (source, [1])}, {"y": source})
    assert tolerances(made, {"y": Tensor((1,), dtype)}, "bf16")["y"].why == why
    assert tolerances(made, {"y": Tensor((1,), dtype)}, "standard")["y"].why != "bfloat16"


def test_only_what_an_output_comes_from_counts():
    nodes = [N("Cast", ["x"], ["h"], to=HALF), N("Neg", ["x"], ["y"]), N("Neg", ["h"], ["z"])]
    made = model(nodes, {"x": (FLOAT, [1])}, {"y": FLOAT, "z": HALF})
    found = tolerances(made, {"y": Tensor((1,), "float32"), "z": Tensor((1,), "float16")})
    assert [found[name].why for name in "yz"] == ["float32", "float16"]


def test_types_inside_functions_and_constants_count():
    body = [N("Cast", ["a"], ["h"], to=HALF), N("Cast", ["h"], ["b"], to=FLOAT)]
    function = helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    call = N("F", ["x"], ["y"], domain="own")
    assert of(model([call], {"x": (FLOAT, [1])}, {"y": FLOAT}, functions=[function])) == "float16"
    value = numpy_helper.from_array(np.ones(3, np.float16))
    nodes = [N("Constant", [], ["h"], value=value), N("Cast", ["h"], ["y"], to=FLOAT)]
    assert of(model(nodes, {}, {"y": FLOAT})) == "float16"


@cache
def moved(*operators: str) -> onnx.ModelProto:
    """A quantised value after movements."""
    nodes = [N("QuantizeLinear", ["x", "s", "z"], ["v0"])]
    nodes += [N(op, [f"v{i}"], [f"v{i + 1}"]) for i, op in enumerate(operators)]
    nodes += [
        N("DequantizeLinear", [f"v{len(operators)}", "t", "z"], ["d"]),
        N("Relu", ["d"], ["y"]),
    ]
    return model(nodes, {"x": (FLOAT, [4])}, {"y": FLOAT}, SCALES)


@pytest.mark.parametrize("operators", [(), ("Identity", "Transpose"), ("Flatten",)])
def test_a_step_outlives_movements(operators):
    assert of(moved(*operators)) == "one step of the quantisation"


@pytest.mark.parametrize(
    ("last", "atol"),
    [
        (N("Softmax", ["d"], ["y"]), 0.05),
        (N("Sigmoid", ["d"], ["y"]), 0.025),
        (N("Add", ["d", "d"], ["y"]), 0.2),
        (N("Concat", ["x", "d"], ["y"], axis=0), 0.1),
    ],
)
def test_steps_grow_and_shrink_with_what_is_computed(last, atol):
    nodes = [N("QuantizeLinear", ["x", "s", "z"], ["q"])]
    nodes += [N("DequantizeLinear", ["q", "t", "z"], ["d"]), last]
    made = model(nodes, {"x": (FLOAT, [4])}, {"y": FLOAT}, SCALES)
    found = tolerances(made, {"y": Tensor((4,), "float32")})["y"]
    assert (found.why, found.rtol) == ("one step of the quantisation", 0)
    assert found.atol == pytest.approx(atol, rel=1e-2)


def test_arithmetic_ends_a_step():
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"]),
        N("DequantizeLinear", ["q", "s", "z"], ["d"]),
    ]
    nodes += [N("Exp", ["d"], ["y"])]
    assert of(model(nodes, {"x": (FLOAT, [4])}, {"y": FLOAT}, SCALES)) == "float32"


# ---- two libraries of one model ----


def test_records_of_a_model_that_amplifies_are_used(tmp_path: Path, monkeypatch):
    """Sums in another order differ by more than their type allows, and by less than two runs."""
    made = amplifying()
    luthier.tune(made, trials=12, log="log", threads=1, timed=False)
    monkeypatch.setattr("luthier.correctness.reference._engines", tuple)
    monkeypatch.setattr("luthier.building.trial.run_from", _noisy)
    report = luthier.build(made, "out", log="log", threads=1, require_hits=True)
    assert report.from_records == report.kernels


def _noisy(artifact: Artifact, inputs: Outputs) -> Outputs:
    """What the artifact gives, with sums in another order as far as its outputs show."""
    outputs, rng = run_from(artifact, inputs), np.random.default_rng(0)
    if not any(kernel.source == "record" for kernel in artifact.manifest.kernels):
        return outputs
    return {
        name: (array + 2e-2 * rng.uniform(-1, 1, array.shape)).astype(array.dtype)
        for name, array in outputs.items()
    }
