"""The shape of every operator's result is known while a model is read, so others may need it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases_math import CASES as MATH
from cases_movement import CASES as MOVEMENT
from cases_nn import CASES as NN
from onnx import TensorProto, helper
from onnx_models import TARGET, Case, case, compute, expected, floats, model

from luthier.frontend import import_model
from luthier.schedules import ModelError

CASES = [*MATH, *MOVEMENT, *NN]
OPERATORS = sorted({c.op for c in CASES})
OLDER = [
    case("Slice", floats(4, 5), axes=[1, 0], starts=[1, 0], ends=[2**31, -1], opset=9),
    case("Slice", floats(4, 5), starts=[3], ends=[9], opset=9),
    case("MaxPool", floats(1, 1, 8, 2), kernel_shape=[2, 3], pads=[1, 0, 0, 2], opset=10,
         strides=[2, 2], ceil_mode=1, constants=(0,)),
]  # fmt: skip


def check(case: Case) -> None:
    """A reshape to what Shape gives, which must be known, and what Size counts."""
    made = case.model
    first = made.graph.output[0].name
    made.graph.output[0].type.tensor_type.ClearField("shape")
    made.graph.node.append(helper.make_node("Shape", [first], ["shape"]))
    made.graph.node.append(helper.make_node("Reshape", [first, "shape"], ["same"]))
    made.graph.node.append(helper.make_node("Size", [first], ["size"]))
    elem_type = made.graph.output[0].type.tensor_type.elem_type
    made.graph.output.append(helper.make_tensor_value_info("same", elem_type, None))
    made.graph.output.append(helper.make_tensor_value_info("size", TensorProto.INT64, []))
    right = expected(case.model, case.inputs)[first]
    program = import_model(made, TARGET)
    outputs = dict(program.outputs)
    assert program.values[outputs["same"]].shape == right.shape
    known = replace(program, steps=(), outputs=(("size", outputs["size"]),))
    size = compute(known, case.inputs)["size"]
    assert (size, size.dtype) == (right.size, np.int64)


@pytest.mark.parametrize("op", OPERATORS)
def test_others_may_be_made_of_it(op: str) -> None:
    for each in (c for c in CASES if c.op == op):
        check(each)


@pytest.mark.parametrize("case", OLDER, ids=str)
def test_older_operators(case: Case) -> None:
    check(case)


def test_the_shape_of_a_large_tensor_is_known() -> None:
    """No array is made to ask for its shape, however many elements it would have."""
    nodes = [
        helper.make_node("Tanh", ["x"], ["t"]),
        helper.make_node("Shape", ["t"], ["shape"]),
        helper.make_node("Slice", ["shape", "one", "all"], ["rest"]),
        helper.make_node("Concat", ["minus", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["t", "flat"], ["y"]),
    ]
    numbers = {"one": [1], "all": [9], "minus": [-1]}
    constants = [helper.make_tensor(n, TensorProto.INT64, [1], v) for n, v in numbers.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 1200, 1000])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "large", [x], [y], constants)
    opset = [helper.make_opsetid("", 18)]
    program = import_model(helper.make_model(graph, opset_imports=opset), TARGET)
    assert program.values[program.outputs[0][1]].shape == (3, 1200, 1000)


def test_a_slope_is_no_wider_than_what_it_is_of() -> None:
    nodes = [helper.make_node("PRelu", ["x", "slope"], ["y"])]
    proto = model(nodes, {"x": floats(1, 1, 1)}, ["y"], {"slope": floats(9, 1)})
    with pytest.raises(ModelError, match=r"PRelu 'y': its slope has the shape \[9, 1\], which"):
        import_model(proto, TARGET)


@pytest.mark.parametrize(
    ("scale", "said"),
    [(1e20, r"'y' has the shape .* too large"), (3e38, "a size of -1"), (np.inf, "the scale inf")],
)
@pytest.mark.parametrize("opset", [9, 10, 13])
def test_a_scale_that_leaves_all_numbers(scale: float, said: str, opset: int) -> None:
    op, inputs = ("Upsample" if opset < 10 else "Resize"), ["x", *[""] * (opset > 10), "scales"]
    scales = np.array([1, 1, scale, 1], np.float32)
    nodes = [helper.make_node(op, inputs, ["y"])]
    proto = model(nodes, {"x": floats(1, 1, 2, 2)}, ["y"], {"scales": scales}, opset)
    with pytest.raises(ModelError, match=said):
        import_model(proto, TARGET)
