"""Products of quantised numbers are exact, whatever computes them, and their kernels are ours."""

from __future__ import annotations

import numpy as np
import pytest
from cases_quantized import CASES, CONVOLUTIONS, PRODUCTS, case, conv, number
from numpy.lib.stride_tricks import sliding_window_view
from onnx_models import TARGET, Case, compute, expected, integers

from luthier.frontend import import_model
from luthier.schedules import ModelError

LIMITS = {dtype: np.iinfo(dtype) for dtype in ("int8", "uint8")}


@pytest.mark.parametrize("case", [*CONVOLUTIONS, *PRODUCTS], ids=str)
def test_every_number_is_the_reference_s(case: Case) -> None:
    ours = compute(import_model(case.model, TARGET), case.inputs)
    for name, array in expected(case.model, case.inputs).items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(ours[name], array)


KERNELS = [
    next(c for c in CASES if c.note == "pads"),
    next(c for c in CASES if c.note == "depthwise"),
    next(c for c in CASES if c.note == "signed"),
    next(c for c in CASES if c.op == "QLinearMatMul" and c.note == "columns"),
    next(c for c in CASES if c.op == "MatMulInteger" and c.note == "one"),
    next(c for c in CASES if c.op == "DynamicQuantizeLinear"),
]


@pytest.mark.parametrize("case", KERNELS, ids=str)
def test_kernels_compute_the_same_numbers(case: Case) -> None:
    program = import_model(case.model, TARGET)
    for name, array in compute(program, case.inputs, kernels=True).items():
        np.testing.assert_array_equal(array, compute(program, case.inputs)[name])


def extremes(dtype: str, *shape: int) -> np.ndarray:
    """The ends of a type, in turns, and what is beside them."""
    info = LIMITS[dtype]
    numbers = [info.min, info.max, info.min + 1, info.max - 1, 0]
    return np.resize(np.array(numbers, dtype), shape)


@pytest.mark.parametrize("left", LIMITS)
@pytest.mark.parametrize("right", LIMITS)
def test_sums_of_the_largest_products_do_not_saturate(left: str, right: str) -> None:
    a, b = extremes(left, 3, 701), extremes(right, 701, 5)
    zero_a, zero_b = LIMITS[left].max, LIMITS[right].min
    made = case(
        "MatMulInteger", a, b, np.array(zero_a, left), np.array(zero_b, right), constants=(1, 2, 3)
    )
    wanted = (a.astype(int) - zero_a) @ (b.astype(int) - zero_b)
    program = import_model(made.model, TARGET)
    for kernels in (False, True):
        (ours,) = compute(program, made.inputs, kernels).values()
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("dtype", LIMITS)
def test_what_is_padded_is_the_zero_point(dtype: str) -> None:
    x, w = extremes(dtype, 1, 3, 5, 6), extremes(dtype, 4, 3, 3, 3)
    zero = LIMITS[dtype].max
    made = case("ConvInteger", x, w, np.array(zero, dtype), constants=(1, 2), pads=[1, 1, 1, 1])
    padded = np.pad(x.astype(int) - zero, [(0, 0), (0, 0), (1, 1), (1, 1)])
    wanted = np.einsum(
        "nchwij,kcij->nkhw", sliding_window_view(padded, (3, 3), (2, 3)), w.astype(int)
    )
    program = import_model(made.model, TARGET)
    for kernels in (False, True):
        (ours,) = compute(program, made.inputs, kernels).values()
        np.testing.assert_array_equal(ours, wanted)


def test_halves_go_to_the_even_number_and_the_rest_saturates() -> None:
    x = np.array([[-9, -5, -3, -1, 1, 3, 5, 120, 127]], np.int8).T
    made = case(
        "QLinearMatMul",
        *(x, number(0.5), np.int8(0), np.array([[1]], np.int8), number(1), np.int8(0)),
        *(number(1), np.int8(90)),
        constants=(1, 2, 3, 4, 5, 6, 7),
    )
    (ours,) = compute(import_model(made.model, TARGET), made.inputs).values()
    wanted = np.clip(np.round(x * 0.5) + 90, -128, 127)
    np.testing.assert_array_equal(ours, wanted)


def kinds(made: Case) -> list[str]:
    program = import_model(made.model, TARGET)
    return [node.op for call in program.calls for node in call.workload.nodes]


@pytest.mark.parametrize("made", [conv(integers(0, 9, 1, 4, 7, 9, dtype="uint8"), 6, 4, 3, 3)])
def test_a_convolution_with_known_scales_is_one_product_and_its_numbers_stay_narrow(
    made: Case,
) -> None:
    program = import_model(made.model, TARGET)
    calls = [[node.op for node in call.workload.nodes] for call in program.calls]
    (product,) = [ops for ops in calls if "conv2d_integer" in ops]
    assert product[0] == "conv2d_integer"
    assert product[-1] == "quantize"
    read = [pair for call in program.calls for pair in call.workload.signature]
    assert {tensor.dtype for tensor, known in read if not known} == {"uint8"}
    assert "int8[6,3,3,4]" in [str(tensor) for tensor, known in read if known]


def test_symmetric_numbers_are_read_as_they_are() -> None:
    made = case(
        "QLinearMatMul",
        *(integers(-9, 9, 5, 8, dtype="int8"), number(1), np.int8(0)),
        *(integers(-9, 9, 8, 6, dtype="int8"), number(1), np.int8(0), number(9), np.int8(0)),
        constants=(1, 2, 3, 4, 5, 6, 7),
    )
    (call,) = import_model(made.model, TARGET).calls
    assert [t.dtype for t in call.workload.inputs[:2]] == ["int8", "int8"]


REFUSED = [
    (
        case("MatMulInteger", *(integers(0, 9, 5, 5, dtype="uint8"),) * 2, np.zeros(4, "uint8")),
        "a number of the shape",
    ),
    (
        conv(integers(0, 9, 1, 3, 7, 9, dtype="uint8"), 6, 4, 3, 3),
        "1 groups of 3 channels",
    ),
]


@pytest.mark.parametrize(("made", "said"), REFUSED, ids=lambda v: str(v) if v else "said")
def test_what_does_not_fit_is_refused_by_its_node(made: Case, said: str) -> None:
    with pytest.raises(ModelError, match=said) as refused:
        import_model(made.model, TARGET)
    assert "\n" not in str(refused.value)
