"""Nodes that change nothing, or have nothing to change: constants stay constant, ranks the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import TARGET, agree, compute, expected, floats, model

from luthier.frontend import import_model

N = helper.make_node
X = floats(2, 3)


def same(made: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What Luthier computes, which has the values, shapes and types that ONNX Runtime gives."""
    found = compute(import_model(made, TARGET), inputs)
    for name, right in expected(made, inputs).items():
        assert (found[name].shape, found[name].dtype) == (right.shape, right.dtype)
        np.testing.assert_allclose(found[name], right, rtol=1e-6)
    return found


@pytest.mark.parametrize("like", ["int64", "int32"])
def test_a_constant_cast_like_an_input_is_a_constant(like: str) -> None:
    """So that it may be a shape, though what lends its type is known at run time only."""
    nodes = [
        N("CastLike", ["sizes", "x"], ["like"]),
        N("Cast", ["like"], ["shape"], to=TensorProto.INT64),
        N("Reshape", ["data", "shape"], ["y"]),
    ]
    inputs = {"x": np.zeros(1, like), "data": X}
    made = model(nodes, inputs, ["y"], {"sizes": np.asarray([3.0, 2.0], np.float32)})
    same(made, inputs)


@pytest.mark.parametrize("sizes", [[3, 0], [0, 3], [1, 0, 2], [0, 0, 3]])
def test_an_empty_part_and_a_concatenation(sizes: list[int]) -> None:
    parts = [f"part{i}" for i in range(len(sizes))]
    used = [N("Relu", [p], [f"r{p}"]) for p in parts]
    nodes = [N("Split", ["x", "sizes"], parts, axis=1), *used]
    nodes.append(N("Concat", [f"r{p}" for p in parts], ["y"], axis=1))
    same(model(nodes, {"x": X}, ["y"], {"sizes": np.asarray(sizes)}), {"x": X})


def test_an_output_that_is_an_input_leaves_shapes_to_be_folded() -> None:
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Gather", ["shape", "one"], ["columns"], axis=0),
        N("Concat", ["columns", "rest"], ["sizes"], axis=0),
        N("Reshape", ["x", "sizes"], ["y"]),
    ]
    made = model(nodes, {"x": X}, ["x", "y"], {"one": np.asarray([1]), "rest": np.asarray([-1])})
    same(made, {"x": X})


def test_one_value_may_be_several_outputs() -> None:
    nodes = [N("Relu", ["x"], ["y"]), N("Identity", ["y"], ["z"]), N("Identity", ["x"], ["w"])]
    same(model(nodes, {"x": X}, ["y", "z", "w", "x"]), {"x": X})


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 2, 0, 1], [0, 3, 0, 0]])
def test_padding_and_back(pads: list[int]) -> None:
    """Back by padding that is negative; of nothing, it is nothing."""
    nodes = [
        N("Pad", ["x", "pads"], ["wide"]),
        N("Pad", ["wide", "back"], ["y"]),
        N("Pad", ["x", "none"], ["z"]),
    ]
    constants = {"pads": np.asarray(pads), "back": -np.asarray(pads), "none": np.zeros(4, np.int64)}
    found = same(model(nodes, {"x": X}, ["y", "z"], constants), {"x": X})
    np.testing.assert_array_equal(found["y"], X)
    np.testing.assert_array_equal(found["z"], X)


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (1,), (1, 1, 1)])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_a_running_sum_over_an_axis_of_one(
    shape: tuple[int, ...], exclusive: int, reverse: int
) -> None:
    x = floats(*shape)
    for axis in range(len(shape)):
        node = N("CumSum", ["x", "axis"], ["y"], exclusive=exclusive, reverse=reverse)
        same(model([node], {"x": x}, ["y"], {"axis": np.asarray(axis)}), {"x": x})


@pytest.mark.parametrize("op", ["Celu", "Elu", "Selu", "PRelu", "LeakyRelu", "ThresholdedRelu"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_activations_of_one_number_keep_its_rank(op: str, shape: tuple[int, ...]) -> None:
    x = np.full(shape, -0.5, np.float32)
    slope = {"slope": np.full(shape, 0.25, np.float32)} if op == "PRelu" else {}
    made = model([N(op, ["x", *slope], ["y"])], {"x": x}, ["y"], slope)
    agree(made, {"x": x})


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_axes_without_dimensions(axis: int) -> None:
    """A number where the standard wants a list."""
    node = N("Unsqueeze", ["x", "axes"], ["y"])
    made = model([node], {"x": X}, ["y"], {"axes": np.asarray(axis)})
    found = compute(import_model(made, TARGET), {"x": X})["y"]
    np.testing.assert_array_equal(found, np.expand_dims(X, axis))
