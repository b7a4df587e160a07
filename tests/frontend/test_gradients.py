"""Gradients: of each operator against differences, and over graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import TARGET, compute, floats, model, positive

from luthier.frontend import import_model
from luthier.frontend.onnx.gradients import RULES
from luthier.frontend.onnx.optimizers import DOMAIN
from luthier.schedules import ModelError, UnsupportedOperator

N = helper.make_node
Arrays = Mapping[str, np.ndarray]
STEP = 1e-6


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Arrays,
    xs: Sequence[str],
    constants: Arrays | None = None,
    zs: Sequence[str] = (),
    given: Sequence[str] = (),
) -> onnx.ModelProto:
    """The gradient of the sum of y squared, so that elements differ, by ``xs``."""
    more = [N("Mul", ["y", "y"], ["square"]), N("ReduceSum", ["square"], ["sum"], keepdims=0)]
    attrs = {"zs": list(zs)} if zs else {}
    names = [f"d{x}" for x in xs]
    node = N("Gradient", list(given or [*xs, *zs]), names, domain=DOMAIN, xs=xs, y="sum", **attrs)
    proto = model([*nodes, *more, node], inputs, ["sum", *names], constants)
    for output in proto.graph.output:
        output.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    proto.opset_import.add(domain=DOMAIN, version=1)
    return proto


def differences(proto: onnx.ModelProto, inputs: Arrays, x: str) -> np.ndarray:
    """Of the sum, by an element at a time."""
    program, found = import_model(proto, TARGET), np.zeros_like(inputs[x])
    for place in np.ndindex(found.shape):
        sums = []
        for sign in (1, -1):
            moved = inputs[x].copy()
            moved[place] += sign * STEP
            sums.append(compute(program, {**inputs, x: moved})["sum"])
        found[place] = (sums[0] - sums[1]) / (2 * STEP)
    return found


A, B, ROW = (floats(*s, dtype="float64", seed=i) for i, s in enumerate([(2, 3), (2, 3), (3,)]))
POSITIVE, FLAGS = positive(2, 3, dtype="float64"), np.array([[True, False, True]])
SHAPE, AXIS = np.array([3, 2]), np.array([1])
# Operands and attributes of each; those that are not floats are constants.
CASES: list[tuple[str, list[np.ndarray], dict[str, object]]] = [
    *(
        (op, [A], {})
        for op in "Identity Neg Abs Exp Sin Cos Tanh Sigmoid Softplus Relu Erf".split()
    ),
    *((op, [POSITIVE], {}) for op in "Log Sqrt Reciprocal".split()),
    *((op, [A, ROW], {}) for op in "Add Sub Mul".split()),
    *((op, [ROW, POSITIVE], {}) for op in "Div Add Mul Sub".split()),
    ("Sum", [A, ROW, B], {}),
    ("Pow", [POSITIVE, B], {}),
    ("MatMul", [A, B.T.copy()], {}),
    ("MatMul", [floats(4, 1, 2, 3, dtype="float64"), floats(2, 3, 2, dtype="float64")], {}),
    ("Transpose", [floats(2, 3, 4, dtype="float64")], {"perm": [2, 0, 1]}),
    ("Reshape", [A, SHAPE], {}),
    ("Flatten", [A], {"axis": 0}),
    ("Unsqueeze", [A, AXIS], {}),
    ("Squeeze", [A.reshape(2, 1, 3), AXIS], {}),
    ("Expand", [ROW, np.array([2, 2, 3])], {}),
    ("ReduceSum", [A, AXIS], {"keepdims": 0}),
    ("ReduceMean", [A, np.array([0])], {}),
    ("ReduceMean", [A], {}),
    ("Softmax", [A], {"axis": 0}),
    ("Where", [FLAGS, A, ROW], {}),
    ("Cast", [A], {"to": onnx.TensorProto.DOUBLE}),
]


@pytest.mark.parametrize(
    ("op", "operands", "attrs"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_an_operators_gradients(
    op: str, operands: list[np.ndarray], attrs: dict[str, object]
) -> None:
    names = [f"x{i}" for i in range(len(operands))]
    values = dict(zip(names, operands, strict=True))
    xs = [name for name in names if values[name].dtype == np.float64]
    constants = {name: values[name] for name in names if name not in xs}
    inputs = {name: values[name] for name in xs}
    proto = graph([N(op, names, ["y"], **attrs)], inputs, xs, constants)
    ours = compute(import_model(proto, TARGET), inputs)
    for x in xs:
        assert ours[f"d{x}"].shape == inputs[x].shape
        np.testing.assert_allclose(ours[f"d{x}"], differences(proto, inputs, x), 1e-5, 1e-6)


def test_there_is_a_case_of_each() -> None:
    assert {op for op, *_ in CASES} == RULES.keys()


def test_a_value_that_is_used_twice_and_one_that_is_not() -> None:
    nodes = [
        N("MatMul", ["a", "w"], ["h"]),
        N("Tanh", ["h"], ["t"]),
        N("Add", ["t", "h"], ["s"]),
        N("Mul", ["s", "a"], ["y"]),
    ]
    inputs = {"a": floats(3, 3, dtype="float64"), "w": floats(3, 3, seed=1, dtype="float64")}
    inputs["other"] = ROW
    proto = graph(nodes, inputs, ["a", "w", "other"])
    ours = compute(import_model(proto, TARGET), inputs)
    assert not ours["dother"].any()
    for x in "aw":
        np.testing.assert_allclose(ours[f"d{x}"], differences(proto, inputs, x), 1e-5, 1e-6)


def test_it_is_of_what_its_inputs_are() -> None:
    """Not of the values that the names have."""
    nodes = [N("Neg", ["a"], ["b"]), N("Mul", ["a", "z"], ["y"])]
    inputs = {"a": A, "z": B}
    proto = graph(nodes, inputs, ["a"], zs=["z"], given=["b", "z"])
    ours = compute(import_model(proto, TARGET), inputs)
    np.testing.assert_allclose(ours["da"], 2 * -A * B * B)
    np.testing.assert_allclose(ours["sum"], np.sum((A * B) ** 2))


def test_what_is_refused() -> None:
    inputs = {"x": floats(1, 2, 5, 5, dtype="float64"), "w": floats(2, 2, 3, 3, dtype="float64")}
    with pytest.raises(UnsupportedOperator, match="the gradient of Conv 'y' is not supported"):
        import_model(graph([N("Conv", ["x", "w"], ["y"])], inputs, ["x"]), TARGET)
    product = [N("MatMul", ["x", "v"], ["y"])]
    with pytest.raises(UnsupportedOperator, match="the gradient of MatMul 'y' of a vector"):
        import_model(graph(product, {"x": A, "v": ROW}, ["v"]), TARGET)
    wrong = graph([N("Neg", ["x"], ["y"])], {"x": A}, ["x"], given=["x", "x"])
    with pytest.raises(ModelError, match="its inputs are not those that it names"):
        import_model(wrong, TARGET)
