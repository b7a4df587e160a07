"""Steps of optimisers, against onnx's own evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx_models import TARGET, compute, floats, model, positive

from luthier.frontend import import_model
from luthier.frontend.onnx.optimizers import DOMAIN, OPERATORS
from luthier.schedules import ModelError

N = helper.make_node
KINDS = {
    "Adagrad": "wgs",
    "Adam": "wgas",
    "Momentum": "wga",
}  # weights, gradients, averages, squares
GIVEN = {"w": "w", "a": "a", "s": "s"}  # the kinds that a step gives anew
CASES: list[tuple[str, dict[str, Any]]] = [
    ("Adagrad", {}),
    ("Adagrad", {"norm_coefficient": 0.1, "decay_factor": 0.3, "epsilon": 1e-3}),
    ("Adam", {}),
    ("Adam", {"alpha": 0.8, "beta": 0.7, "norm_coefficient": 0.1, "norm_coefficient_post": 0.2}),
    ("Momentum", {"mode": "standard", "alpha": 0.9, "beta": 0.5, "norm_coefficient": 0.01}),
    ("Momentum", {"mode": "nesterov", "alpha": 0.9, "beta": 0.5, "norm_coefficient": 0.0}),
]


def step(op: str, attrs: dict[str, Any], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    kinds = KINDS[op]
    names = [f"{kind}{i}" for kind in kinds for i in range(len(weights) // len(kinds))]
    outputs = [f"new {n}" for n in names if n[0] in GIVEN]
    node = N(op, ["rate", "steps", *names], outputs, domain=DOMAIN, **attrs)
    inputs = {"rate": np.float32(0), "steps": np.int64(0), **weights}
    proto = model([node], inputs, outputs)
    for output in proto.graph.output:
        elem_type = helper.np_dtype_to_tensor_dtype(weights[output.name[4:]].dtype)
        output.type.tensor_type.elem_type = elem_type
    proto.opset_import.add(domain=DOMAIN, version=1)
    return proto


def operands(op: str, shapes: list[tuple[int, ...]], dtype: str) -> dict[str, np.ndarray]:
    make = {"s": positive}
    return {
        f"{kind}{i}": make.get(kind, floats)(*shape, seed=ord(kind) + i, dtype=dtype)
        for kind in KINDS[op]
        for i, shape in enumerate(shapes)
    }


@pytest.mark.parametrize(("op", "attrs"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_of_several_weights(op: str, attrs: dict[str, Any], dtype: str) -> None:
    weights = operands(op, [(3, 5), (), (7,)], dtype)
    proto = step(op, attrs, weights)
    program = import_model(proto, TARGET)
    reference = ReferenceEvaluator(proto)
    for steps in (0, 1, 5, 100_000, -3):
        given = {"rate": np.float32(0.1), "steps": np.int64(steps), **weights}
        ours = compute(program, given)
        for (name, array), wanted in zip(ours.items(), reference.run(None, given), strict=True):
            assert (array.dtype, array.shape) == (np.dtype(dtype), weights[name[4:]].shape)
            np.testing.assert_allclose(array, wanted, 1e-5, 1e-6, err_msg=f"{name} {steps}")


def test_each_is_tested() -> None:
    assert {op for op, _ in CASES} == OPERATORS.keys()


@pytest.mark.parametrize(
    ("attrs", "drop", "said"),
    [
        (
            {"mode": "fast", "alpha": 0.9, "beta": 0.5, "norm_coefficient": 0.0},
            0,
            "its mode is 'fast'",
        ),
        ({"mode": "standard", "alpha": 0.9, "beta": 0.5}, 0, "it lacks the attribute 'norm"),
        (CASES[-1][1], 1, "it has 4 inputs, not 2 and 3 of each weight"),
    ],
)
def test_what_is_wrong_is_said(attrs: dict[str, Any], drop: int, said: str) -> None:
    proto = step("Momentum", attrs, operands("Momentum", [(4,)], "float32"))
    if drop:
        proto.graph.node[0].input.pop()
    with pytest.raises(ModelError, match=rf"Momentum 'new w0': .*{said}"):
        import_model(proto, TARGET)
