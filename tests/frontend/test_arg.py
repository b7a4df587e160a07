"""ArgMax, ArgMin and Hardmax: an index is always in range, whatever a row holds."""

from __future__ import annotations

import numpy as np
import pytest
from both_ways import at_run_time, folded
from onnx import helper
from onnx_models import Case, case, compute, floats, integers, model

from luthier.frontend import import_model
from luthier.schedules import ModelError, Target

INTEGERS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()
FLOATS = "float16 float32 float64".split()
inf, nan = np.inf, np.nan


def rows(dtype: str) -> list[np.ndarray]:
    """Rows that are all alike at their type's ends, of lengths with and without whole vectors."""
    kind = np.dtype(dtype)
    ends = (-inf, inf, -0.0) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max, 0)
    made = [np.full((2, n), end, dtype) for end in ends for n in (1, 5, 37)]
    mixed = np.tile(np.array([*ends, 0, 1], dtype), 9)
    return [*made, np.stack([mixed, mixed[::-1]])]


def reference(one: Case) -> np.ndarray:
    """NumPy's; the last of the extremes is the first of the reversed row."""
    (x,), attrs = one.arguments, one.attrs
    axis = attrs.get("axis", 0)
    find = np.argmax if one.op == "ArgMax" else np.argmin
    if attrs.get("select_last_index", 0):
        found = x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=True)
    else:
        found = find(x, axis=axis, keepdims=True)
    return found if attrs.get("keepdims", 1) else found.squeeze(axis)


def check(cases: list[Case], want: list[np.ndarray]) -> None:
    for one, ran, constant, wanted in zip(
        cases, at_run_time(cases), folded(cases), want, strict=True
    ):
        assert ran.dtype == constant.dtype == wanted.dtype, one
        np.testing.assert_array_equal(ran, wanted, str(one))
        np.testing.assert_array_equal(constant, wanted, str(one))


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_rows_at_the_ends_of_every_type(op: str) -> None:
    cases = [
        case(op, x, axis=-1, select_last_index=last)
        for last in (0, 1)
        for dtype in (*INTEGERS, *FLOATS)
        for x in rows(dtype)[last::2]
    ]
    check(cases, [reference(c) for c in cases])


def test_every_axis_with_and_without_its_dimension() -> None:
    x = integers(0, 3, 3, 5, 4, dtype="float32")
    cases = [
        case(op, x, axis=axis, keepdims=kept, select_last_index=last)
        for op in ("ArgMax", "ArgMin")
        for axis in (-3, -2, -1, 0, 1, 2)
        for kept, last in ((0, 0), (1, 1))
    ]
    cases += [case("ArgMax", np.float32([3])), case("ArgMin", np.float32([[[-inf]]]), axis=1)]
    check(cases, [reference(c) for c in cases])


def test_a_row_has_its_extreme_where_it_has_nan() -> None:
    """As in NumPy and onnx's evaluator; what ONNX Runtime gives depends on the row's length."""
    x = np.array([[1, nan, 3], [nan, 1, 2], [1, 2, nan], [nan] * 3, [-inf, nan, inf]])
    cases = [
        case(op, x.astype(dtype), axis=1, select_last_index=last)
        for op in ("ArgMax", "ArgMin")
        for dtype in FLOATS
        for last in (0, 1)
    ]
    check(cases, [reference(c) for c in cases])


def test_hardmax_has_a_single_one() -> None:
    arrays = [x for dtype in FLOATS for x in rows(dtype)]
    arrays += [np.float32([[1, nan, 3], [nan, nan, 0], [2, 3, 3]]), floats(3, 4, 5)]
    cases = [case("Hardmax", x) for x in arrays]
    cases += [case("Hardmax", floats(3, 4, 5), axis=axis) for axis in (0, 1, -3)]
    want = []
    for one in cases:
        x, axis = one.arguments[0], one.attrs.get("axis", -1)
        shape = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
        places = np.arange(x.shape[axis]).reshape(shape)
        want.append((places == x.argmax(axis=axis, keepdims=True)).astype(x.dtype))
    check(cases, want)


def test_the_older_hardmax_is_of_all_dimensions_from_its_axis() -> None:
    x = floats(2, 3, 4)
    cases = [case("Hardmax", x, opset=12), case("Hardmax", x, axis=2, opset=12)]
    cases.append(case("Hardmax", x, axis=0, opset=12))
    want = []
    for axis in (1, 2, 0):
        flat = x.reshape(int(np.prod(x.shape[:axis])), -1)
        hot = np.arange(flat.shape[1]) == flat.argmax(axis=1)[:, None]
        want.append(hot.astype(np.float32).reshape(x.shape))
    check(cases, want)


def test_a_gather_after_it_reads_the_right_row() -> None:
    nodes = [
        helper.make_node("ArgMax", ["x"], ["index"], axis=1, keepdims=0),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    ]
    x, table = np.full((4, 6), -inf, np.float32), floats(6, 3)
    x[1, 2], x[2, 5] = 0, nan
    proto = model(nodes, {"x": x, "table": table}, ["y"])
    program = import_model(proto, Target("x86-64-v2", "x86-64-v2", 1))
    found = compute(program, {"x": x, "table": table}, kernels=True)["y"]
    np.testing.assert_array_equal(found, table[[0, 2, 5, 0]])


def test_an_axis_that_is_not_there_is_refused() -> None:
    broken = case("Hardmax", floats(2, 3), axis=5)
    with pytest.raises(ModelError, match=r"Hardmax 'out0': .*axis.* must be in \[-2 , 1\]"):
        import_model(broken.model, Target("x86-64-v2", "x86-64-v2", 1))
