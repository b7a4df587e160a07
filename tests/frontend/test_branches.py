"""``If`` nodes that constants and sizes decide: the branch that runs takes their place."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_building import kernels
from onnx import TensorProto, helper, numpy_helper
from onnx_models import TARGET, compute, floats, model

from luthier.frontend import import_model, read_model
from luthier.schedules import ModelError, UnsupportedOperator

N = helper.make_node
X = floats(2, 3)


def branch(*nodes: onnx.NodeProto, output: str = "o", **weights: np.ndarray) -> onnx.GraphProto:
    out = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    return helper.make_graph(nodes, "branch", [], [out], tensors)


DOUBLED = branch(N("Mul", ["x", "two"], ["m"]), N("Relu", ["m"], ["o"]), two=np.float32(2))
NEGATED = branch(N("Neg", ["x"], ["m"]), N("Identity", ["m"], ["o"]))


def choice(condition: str, output: str, then=DOUBLED, otherwise=NEGATED) -> onnx.NodeProto:
    return N("If", [condition], [output], then_branch=then, else_branch=otherwise)


def flagged(*nodes: onnx.NodeProto, output: str = "y") -> onnx.ModelProto:
    """A model of x and of the number ``flag``."""
    return model(list(nodes), {"x": X, "flag": np.array(True)}, [output])


def computed(made: onnx.ModelProto, flag: bool) -> np.ndarray:
    read = read_model(made, values={"flag": flag})
    (y,) = compute(import_model(read, TARGET), {"x": X}).values()
    return y


@pytest.mark.parametrize("flag", [True, False])
def test_a_value_that_is_given_decides(flag: bool) -> None:
    want = np.maximum(2 * X, 0) if flag else -X
    assert np.array_equal(computed(flagged(choice("flag", "y")), flag), want)


@pytest.mark.parametrize("batch", [1, 2])
def test_sizes_decide(batch: int) -> None:
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Gather", ["shape", "zero"], ["batch"]),
        N("Greater", ["batch", "one"], ["several"]),
        choice("several", "y"),
    ]
    constants = {"zero": np.array(0), "one": np.array(1)}
    made = model(nodes, {"x": X}, ["y"], constants)
    for value in (made.graph.input[0], made.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    program = import_model(made, TARGET, {"x": (batch, 3)})
    (y,) = compute(program, {"x": X[:batch]}).values()
    assert np.array_equal(y, np.maximum(2 * X, 0) if batch == 2 else -X[:1])


@pytest.mark.parametrize("flag", [True, False])
def test_branches_in_branches_and_of_branches(flag: bool) -> None:
    inner = branch(N("Not", ["flag"], ["other"]), choice("other", "o"))
    made = flagged(choice("flag", "p", inner, inner), N("Abs", ["p"], ["y"]))
    want = np.abs(np.maximum(2 * X, 0)) if not flag else np.abs(-X)
    assert np.array_equal(computed(made, flag), want)


def test_two_of_one_branch_keep_their_values_apart() -> None:
    made = flagged(choice("flag", "p"), choice("flag", "q"), N("Add", ["p", "q"], ["y"]))
    assert np.array_equal(computed(made, True), 2 * np.maximum(2 * X, 0))


def test_an_output_that_one_branch_decides_for_the_next() -> None:
    yes, no = (branch(N("Identity", [c], ["o"])) for c in ("true", "false"))
    for graph in (yes, no):
        graph.output[0].type.tensor_type.elem_type = TensorProto.BOOL
    made = flagged(choice("flag", "again", no, yes), choice("again", "y"))
    constants = {"true": np.array(True), "false": np.array(False)}
    made.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in constants.items())
    assert np.array_equal(computed(made, True), -X)


def test_what_is_decided_leaves_no_trace() -> None:
    read = read_model(flagged(choice("flag", "y")), values={"flag": False})
    assert kernels(import_model(read, TARGET)) == [["negative"]]


def test_a_model_that_was_read_stays_as_it_was() -> None:
    read = read_model(flagged(choice("flag", "y")), values={"flag": True})
    before = read.proto.SerializeToString(deterministic=True)
    import_model(read, TARGET)
    assert read.proto.SerializeToString(deterministic=True) == before


def test_one_that_cannot_be_decided_does_not_keep_others() -> None:
    nodes = [
        N("ReduceSum", ["x"], ["sum"], keepdims=0),
        N("Greater", ["sum", "zero"], ["positive"]),
        choice("positive", "p"),
        choice("flag", "y"),
    ]
    made = flagged(*nodes)
    made.graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
    read = read_model(made, values={"flag": True}, outputs=["y"])
    assert kernels(import_model(read, TARGET)) == [["multiply", "relu"]]
    read = read_model(made, values={"flag": True}, outputs=["p", "y"])
    steps = import_model(read, TARGET).steps
    assert [type(step).__name__ for step in steps].count("Branch") == 1


@pytest.mark.parametrize(
    "broken",
    [
        TensorProto(name="no", data_type=TensorProto.BOOL, dims=[7], raw_data=b"x"),
        TensorProto(name="no", data_type=TensorProto.FLOAT, dims=[1], float_data=[1.0]),
        TensorProto(name="no", data_type=TensorProto.STRING, dims=[1], string_data=[b"yes"]),
    ],
    ids=["cut short", "a float", "a text"],
)
def test_a_condition_that_is_not_one_is_refused(broken: TensorProto) -> None:
    made = flagged(choice("no", "y"))
    made.graph.initializer.append(broken)
    with pytest.raises((ModelError, UnsupportedOperator)):
        import_model(made, TARGET)
