"""Sparse tensors of a model's own are written out, wherever they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import TARGET, compute, floats, value_info

from luthier.frontend import import_model
from luthier.schedules import ModelError

N = helper.make_node
DENSE = np.where(np.random.default_rng(0).random((5, 6)) < 0.3, floats(5, 6), 0).astype(np.float32)

SQUARE = np.vstack([DENSE, DENSE[:1] * 2])


def sparse(array: np.ndarray, name: str, *, flat: bool = True) -> onnx.SparseTensorProto:
    places = np.flatnonzero(array) if flat else np.argwhere(array)
    values = numpy_helper.from_array(array[array != 0], name)
    indices = numpy_helper.from_array(places.astype(np.int64), f"{name}/places")
    return helper.make_sparse_tensor(values, indices, array.shape)


def model(
    nodes: list[onnx.NodeProto], x: np.ndarray, initializers: list[onnx.SparseTensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "sparse", [value_info("x", x)],
        [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
        sparse_initializer=initializers,
    )  # fmt: skip
    graph.output[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(x.dtype)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def theirs(made: onnx.ModelProto, matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """ONNX Runtime takes sparse tensors as inputs alone."""
    kind = helper.np_dtype_to_tensor_dtype(matrix.dtype)
    made.graph.input.append(
        helper.make_value_info("w", helper.make_sparse_tensor_type_proto(kind, matrix.shape))
    )
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    given = onnxruntime.SparseTensor.sparse_coo_from_numpy(
        matrix.shape, matrix[matrix != 0], np.ascontiguousarray(np.argwhere(matrix)),
        onnxruntime.OrtDevice.make("cpu", 0),
    )  # fmt: skip
    feeds = {
        "w": onnxruntime.OrtValue.ort_value_from_sparse_tensor(given),
        "x": onnxruntime.OrtValue.ortvalue_from_numpy(x),
    }
    (y,) = session.run_with_ort_values(None, feeds)
    return np.asarray(y.numpy())


def ours(made: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    (y,) = compute(import_model(made, TARGET), {"x": x}).values()
    return y


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize(
    ("dtype", "shape", "attrs"),
    [
        (np.float32, (6, 4), {}),
        # ONNX Runtime compares the shapes as they are before it transposes.
        (np.float32, (6, 6), {"transA": 1}),
        (np.float32, (6, 6), {"transB": 1, "alpha": 0.5}),
        (np.float64, (6, 4), {}),  # of whose factor ONNX Runtime knows nothing
        *((dtype, (6, 3), {}) for dtype in (np.int32, np.int64, np.uint32, np.uint64)),
    ],
)
def test_a_product_of_a_sparse_matrix_is_that_of_onnx_runtime(
    dtype: Any, shape: tuple[int, ...], attrs: dict[str, Any], *, flat: bool
) -> None:
    dense = SQUARE if shape[0] == shape[1] else DENSE
    matrix = dense.astype(dtype) if np.dtype(dtype).kind == "f" else (dense != 0).astype(dtype)
    x = floats(*shape).astype(dtype) if np.dtype(dtype).kind == "f" else np.arange(
        np.prod(shape), dtype=dtype).reshape(shape)  # fmt: skip
    node = N("SparseToDenseMatMul", ["w", "x"], ["y"], domain="com.microsoft", **attrs)
    made = model([node], x, [sparse(matrix, "w", flat=flat)])
    wanted = theirs(model([node], x, []), matrix, x)
    np.testing.assert_allclose(ours(made, x), wanted, 1e-5, 1e-6)


@pytest.mark.parametrize("flat", [True, False])
def test_any_operator_takes_them(*, flat: bool) -> None:
    x, inner = floats(6, 4), floats(1)
    constant = N("Constant", [], ["c"], sparse_value=sparse(DENSE, "", flat=flat))
    made = model([constant, N("MatMul", ["c", "x"], ["y"])], x, [])
    np.testing.assert_allclose(ours(made, x), DENSE @ x, 1e-5, 1e-6)
    made = model([N("MatMul", ["w", "x"], ["y"])], x, [sparse(DENSE, "w", flat=flat)])
    np.testing.assert_allclose(ours(made, x), DENSE @ x, 1e-5, 1e-6)
    branches = {
        name: helper.make_graph(
            [N(op, ["x", "w"], [name])], name, [], [value_info(name, floats(5, 6))],
            sparse_initializer=[sparse(DENSE, "w", flat=flat)])
        for name, op in (("then_branch", "Add"), ("else_branch", "Sub"))
    }  # fmt: skip
    zero = N("Constant", [], ["zero"], value_float=0.0)
    asked = N("Greater", ["sum", "zero"], ["positive"])
    total = N("ReduceSum", ["x"], ["sum"], keepdims=0)
    made = model([zero, total, asked, N("If", ["positive"], ["y"], **branches)], inner, [])
    for sign in (1, -1):
        given = np.abs(inner) * np.float32(sign)
        np.testing.assert_allclose(ours(made, given), given + sign * DENSE, 1e-6, 1e-6)


def test_an_empty_one_is_zeros() -> None:
    made = model([N("Add", ["w", "x"], ["y"])], DENSE, [sparse(np.zeros_like(DENSE), "w")])
    np.testing.assert_array_equal(ours(made, DENSE), DENSE)


def damaged(places: Any, dims: tuple[int, ...] = (5, 6), count: int = 2) -> onnx.ModelProto:
    made = sparse(DENSE, "w")
    made.values.CopyFrom(numpy_helper.from_array(np.ones(count, np.float32), "w"))
    made.indices.CopyFrom(numpy_helper.from_array(np.asarray(places)))
    made.dims[:] = dims
    return model([N("MatMul", ["w", "x"], ["y"])], floats(6, 4), [made])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (damaged([0, 30]), r"places of its sparse tensor are outside of \[5, 6\]"),
        (damaged([-1, 3]), "are outside of"),
        (damaged([[0, 0], [0, 6]]), "are outside of"),
        (damaged([[0, 0], [-1, 2]]), "are outside of"),
        (damaged([0]), r"\[2\] values of a sparse tensor at int64\[1\] places do not fit"),
        (damaged(np.zeros(2, np.int32)), "at int32"),
        (damaged([0, 1], (-5, 6)), r"has the shape \[-5, 6\]"),
        (damaged([0, 1], (2**30, 2**30)), "has the shape"),
        (damaged([0, 1], (2**14, 2**14)), "take more than 256 MiB, written out"),
    ],
)
def test_what_is_no_sparse_tensor_is_refused(made: onnx.ModelProto, said: str) -> None:
    with pytest.raises(ModelError, match=said) as refused:
        import_model(made, TARGET)
    assert "\n" not in str(refused.value)


def test_an_input_that_is_sparse_is_a_dense_array() -> None:
    x = floats(6, 4)
    made = model([N("SparseToDenseMatMul", ["w", "x"], ["y"], domain="com.microsoft")], x, [])
    wanted = theirs(made, DENSE, x)
    (got,) = compute(import_model(made, TARGET), {"w": DENSE, "x": x}).values()
    np.testing.assert_allclose(got, wanted, 1e-5, 1e-6)


def test_a_sparse_input_has_the_shape_that_is_given() -> None:
    made = model([N("SparseToDenseMatMul", ["w", "x"], ["y"], domain="com.microsoft")], SQUARE, [])
    kind = helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, ("rows", 6))
    made.graph.input.append(helper.make_value_info("w", kind))
    (got,) = compute(import_model(made, TARGET, {"rows": 5}), {"w": DENSE, "x": SQUARE}).values()
    np.testing.assert_allclose(got, DENSE @ SQUARE, 1e-5, 1e-6)
    made.graph.input[-1].type.sparse_tensor_type.elem_type = 77
    with pytest.raises(ModelError, match="input 'w'"):
        import_model(made, TARGET, {"rows": 5})
