"""Every operator computes what ONNX Runtime computes, on odd shapes and with its attributes."""

from __future__ import annotations

import numpy as np
import pytest
from cases_math import CASES as MATH
from cases_movement import CASES as MOVEMENT
from cases_nn import CASES as NN
from cases_quantized import CASES as QUANTIZED
from cases_recurrent import CASES as RECURRENT
from cases_signals import CASES as SIGNALS
from onnx import helper
from onnx_models import TARGET, Case, agree, case, compute, floats, integers, model

from luthier.frontend import import_model
from luthier.schedules import ModelError, UnsupportedOperator

CASES = [*MATH, *MOVEMENT, *NN, *QUANTIZED, *RECURRENT, *SIGNALS]
FIRST = {c.op: c for c in reversed(CASES)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_means_what_onnx_says(case: Case) -> None:
    agree(case.model, case.inputs)


@pytest.mark.slow
@pytest.mark.parametrize("case", FIRST.values(), ids=str)
def test_an_operator_compiles_and_its_kernels_compute_the_same(case: Case) -> None:
    agree(case.model, case.inputs, kernels=True)


def test_an_even_number_of_neighbours_has_one_more_after() -> None:
    """Neither ONNX Runtime nor onnx's evaluator has this, but the standard's text says it."""
    x = floats(1, 5, 2, 3)
    lrn = case("LRN", x, size=2, alpha=1.0, beta=1.0)
    squares = np.pad(x * x, [(0, 0), (0, 1), (0, 0), (0, 0)])
    total = squares[:, :-1] + squares[:, 1:]
    out = compute(import_model(lrn.model, TARGET), {"in0": x})["out0"]
    np.testing.assert_allclose(out, x / (1 + total / 2), rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "slope"),
    [
        (np.float32(-1.5), floats(1)),
        (np.float32(-1.5), floats(1, 1)),
        (floats(3), floats(1, 1, 3)),
        (floats(2, 3), floats(1, 2, 1)),
    ],
    ids=lambda a: str(a.shape),
)
@pytest.mark.parametrize("constants", [(), (1,)], ids=["given", "constant"])
def test_a_slope_of_more_dimensions_leaves_the_shape(
    x: np.ndarray, slope: np.ndarray, constants: tuple[int, ...]
) -> None:
    """As ONNX infers it; ONNX Runtime gives the slope's rank."""
    made = case("PRelu", x, slope, constants=constants)
    (ours,) = compute(import_model(made.model, TARGET), made.inputs).values()
    assert ours.shape == np.shape(x)
    np.testing.assert_array_equal(ours, np.where(x > 0, x, x * slope).reshape(np.shape(x)))


def test_a_value_may_lend_its_own_type() -> None:
    """Its numbers count, though those of the second argument do not."""
    x = integers(-3, 9, 2, 3)
    node = helper.make_node("CastLike", ["x", "x"], ["y"])
    out = compute(import_model(model([node], {"x": x}, ["y"]), TARGET), {"x": x})["y"]
    np.testing.assert_array_equal(out, x)


@pytest.mark.parametrize("mode", ["reflect", "wrap", "edge"])
@pytest.mark.parametrize(
    ("shape", "widths"),
    [
        ((3,), [(3, 0)]),
        ((3,), [(2, 9)]),
        ((2, 1, 4), [(5, 4), (2, 1), (0, 3)]),
        ((1,), [(4, 7)]),
        ((4, 2), [(0, 4), (11, 0)]),
    ],
    ids=str,
)
def test_padding_may_be_wider_than_the_tensor(
    mode: str, shape: tuple[int, ...], widths: list[tuple[int, int]]
) -> None:
    """As NumPy has it; ONNX Runtime refuses it."""
    pads = np.array(widths).T.reshape(-1)
    for x in (floats(*shape), integers(-9, 9, *shape, dtype="int8")):
        made = case("Pad", x, pads, mode=mode, constants=(1,), opset=19)
        out = compute(import_model(made.model, TARGET), made.inputs)["out0"]
        np.testing.assert_array_equal(out, np.pad(x, widths, mode=mode))  # type: ignore[call-overload]


@pytest.mark.parametrize("mode", ["reflect", "wrap", "edge"])
def test_what_is_cut_off_is_not_what_padding_repeats(mode: str) -> None:
    x = floats(5, 4)
    made = case("Pad", x, np.array([-2, 3, 7, -1]), mode=mode, constants=(1,), opset=19)
    out = compute(import_model(made.model, TARGET), made.inputs)["out0"]
    want = np.pad(x[2:, :3], [(0, 7), (3, 0)], mode=mode)  # type: ignore[call-overload]
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("time", [0, 1])
def test_sequences_have_as_many_steps_as_there_are_at_most(time: int) -> None:
    """More, which only a run is told, are all of them, and fewer than none are none."""
    x, lengths = floats(4, 4, 2), np.array([7, -3, 4, 2])
    axes = {"time_axis": time, "batch_axis": 1 - time}
    made = case("ReverseSequence", x, lengths, **axes)
    out = compute(import_model(made.model, TARGET), made.inputs)["out0"]
    want = np.moveaxis(x.copy(), time, 0)
    for row, length in enumerate(lengths.clip(0, 4)):
        want[:length, row] = want[:length, row][::-1].copy()
    np.testing.assert_array_equal(out, np.moveaxis(want, 0, time))


REFUSED = [
    (
        case("ReverseSequence", floats(4, 2), np.array([5, 1]), constants=(1,)),
        "its lengths of sequences are 1 to 5, and there are 4 steps",
    ),
    (
        case("ScatterND", floats(5, 8, 8), integers(0, 5, 3, 1), floats(3, 3, 8)),
        r"its updates are \[3, 3, 8\], and \[3, 8, 8\] go with its indices",
    ),
    (
        case("ReverseSequence", floats(4, 2), np.array([4, -1]), constants=(1,)),
        "its lengths of sequences are -1 to 4",
    ),
    (
        case("Dropout", floats(3), np.float32(1), np.bool_(True), constants=(1, 2)),
        "its ratio is 1, not from 0 up to 1",
    ),
    (case("DFT", floats(2, 4, 3), opset=17), "whose last dimension is 3"),
    (
        case("STFT", floats(1, 9, 1), np.int64(0), floats(5), constants=(1,)),
        "no frames of 5, 0 apart, in 9 elements",
    ),
    (case("LpPool", floats(1, 2, 4), kernel_shape=[2], p=0), "p=0 is not supported"),
    (case("Gather", floats(3), np.int64(3), constants=(1,)), "outside of a dimension of size 3"),
    (case("Erf", integers(1, 9, 3), opset=9), "an input of int64 is not supported"),
    (
        case("Gemm", *(integers(0, 9, 3, 3, dtype="int32") for _ in range(3)), beta=0.5),
        "beta=0.5 of integers is not supported",
    ),
    (case("Einsum", floats(2, 3), equation="ij->ijz"), "the equation 'ij->ijz'"),
    (case("Einsum", floats(2, 3), equation="i->i"), "the equation 'i->i'"),
    (case("Einsum", floats(2, 3), floats(4, 2), equation="ij,jk"), "'j' two sizes"),
    (case("Einsum", floats(2, 3), equation="ii->i"), "'i' two sizes"),
]


@pytest.mark.parametrize(("case", "said"), REFUSED, ids=lambda v: str(v) if v else "said")
def test_an_uncomputable_operator_is_refused_with_its_node(case: Case, said: str) -> None:
    with pytest.raises(ModelError, match=rf"{case.op} 'out0': .*{said}"):
        import_model(case.model, TARGET)


def test_results_of_training_before_operator_set_14_are_refused() -> None:
    parameters = [floats(4, seed=i) for i in range(4)]
    training = case("BatchNormalization", floats(2, 4, 3), *parameters, outputs=5, opset=9)
    with pytest.raises(UnsupportedOperator, match="training mode"):
        import_model(training.model, TARGET)


def test_a_result_without_elements_is_known() -> None:
    nothing = case("Slice", floats(3), np.array([3]), np.array([3]), constants=(1, 2))
    program = import_model(nothing.model, TARGET)
    assert not program.calls
    assert [a.shape for a in program.constants.values()] == [(0,)]
