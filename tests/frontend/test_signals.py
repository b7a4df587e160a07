"""Transforms, regions and running products: by kernels, of open sizes, of extremes, and fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from cases_signals import roi_align
from onnx import helper
from onnx_models import TARGET, agree, case, compute, floats, integers, model
from sized_models import computed, opened
from test_finding import same

from luthier.frontend import import_entry, import_graph, import_model
from luthier.schedules.ops.counts import flops

N = helper.make_node

# ---- transforms ----


@pytest.mark.parametrize("step", [(), (2,)], ids=["a step that is known", "a step of the run"])
def test_a_real_signal_has_two_dimensions(step: tuple[int, ...]) -> None:
    """As ONNX Runtime takes it, and onnx's own evaluator does not."""
    x, window = floats(2, 100), floats(16)
    made = case("STFT", x, np.int64(7), window, constants=(*(() if step else (1,)), *step))
    session = onnxruntime.InferenceSession(made.model.SerializeToString())
    (wanted,) = session.run(None, made.inputs)
    (program,) = import_entry(made.model, TARGET).variants
    found = computed(program, {}, made.inputs)["out0"]
    assert found.shape == (2, 13, 9, 2)
    np.testing.assert_allclose(found, wanted, 1e-4, 1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 7, 96, 257, 360, 521, 1000, 1009, 2048, 3125])
def test_a_transform_of_any_length_is_exact(n: int, dtype: str) -> None:
    """Against NumPy's in float64: errors are some roundings of the largest frequency's."""
    x = floats(3, n, 2, dtype=dtype)
    for inverse in (0, 1):
        made = case("DFT", x, axis=1, inverse=inverse, opset=17)
        ours = compute(import_model(made.model, TARGET), made.inputs)["out0"]
        z = x[..., 0].astype(np.float64) + 1j * x[..., 1].astype(np.float64)
        want = np.fft.ifft(z) if inverse else np.fft.fft(z)
        error = np.abs(ours[..., 0] + 1j * ours[..., 1] - want).max()
        assert error < 60 * np.finfo(dtype).eps * np.abs(want).max()


@pytest.mark.parametrize("n", [1, 2, 8, 9, 300, 521])
def test_a_real_signal_comes_back_from_half_of_its_frequencies(n: int) -> None:
    x = floats(2, n, 1)
    nodes = [
        N("DFT", ["x"], ["half"], axis=1, onesided=1),
        N("DFT", ["half", "n"], ["y"], axis=1, onesided=1, inverse=1),
    ]
    made = model(nodes, {"x": x}, ["y"], {"n": np.int64(n)}, opset=17)
    got = compute(import_model(made, TARGET), {"x": x})["y"]
    np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "most"), [(4096, 3000), (4097, 60_000), (65536, 4000)])
def test_the_work_grows_little_with_the_length(n: int, most: int) -> None:
    """Operations an element; a matrix would need 4 n of them. 4097 is 17 * 241."""
    made = case("DFT", floats(1, n, 2), axis=1, opset=17)
    program = import_model(made.model, TARGET)
    assert sum(flops(call.workload) for call in program.calls) < most * n
    graph = import_graph(made.model)
    assert sum(a.size for a in graph.constants.values()) < 300_000 + 40 * n


# ---- kernels ----

COMPILED = [
    case("DFT", floats(2, 300, 2), axis=1, opset=17),
    case("DFT", floats(2, 60, 1, dtype="float64"), axis=1, onesided=1, opset=17),
    case("STFT", floats(2, 60, 1), np.int64(7), floats(16), constants=(1,)),
    roi_align(0),
    roi_align(2),
    case("Conv", floats(1, 6, 7, 8), floats(6, 1, 3, 3), group=6, pads=[1, 1, 1, 1]),
    case("Conv", floats(1, 6, 7, 8), floats(4, 3, 3, 2), group=2, strides=[2, 1]),
    case("ConvTranspose", floats(1, 4, 5, 6), floats(4, 3, 3, 3), group=2, strides=[2, 2]),
    case("MaxPool", floats(1, 3, 7, 9), kernel_shape=[3, 3], pads=[1, 1, 1, 1], outputs=2),
    case("CumProd", floats(3, 5, 4, dtype="float16"), np.int64(1), constants=(1,), opset=26),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", COMPILED, ids=str)
def test_kernels_compute_the_same(case: Any) -> None:
    half = case.arguments[0].dtype == np.float16
    agree(case.model, case.inputs, kernels=True, rtol=2e-3 if half else 1e-4)


# ---- extremes ----


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_places_of_maxima_are_inside_whatever_there_is(number: float) -> None:
    """NaN is largest; the first of equals counts. Places are never those of the padding."""
    x = np.where(floats(2, 2, 6, 6) > 0.8, number, floats(2, 2, 6, 6, seed=1)).astype(np.float32)
    made = case("MaxPool", x, kernel_shape=[3, 2], pads=[1, 1, 2, 1], outputs=2)
    found = compute(import_model(made.model, TARGET), made.inputs)
    np.testing.assert_array_equal(x.reshape(-1)[found["out1"]], found["out0"])


@pytest.mark.parametrize("samples", [0, 2])
@pytest.mark.parametrize("mode", ["avg", "max"])
def test_what_a_region_does_not_reach_does_not_count(samples: int, mode: str) -> None:
    """Whatever it is: it would be a NaN if its share, 0, were multiplied."""
    x, rois = floats(1, 2, 9, 9), np.array([[0, 0, 3.5, 3.5], [5.2, 0.5, 8, 2.5]], np.float32)
    images = np.zeros(2, np.int64)
    found = []
    for number in (0, np.nan, np.inf, -np.inf):
        x[0, :, 6:, :] = number
        made = case(
            "RoiAlign", x, rois, images, sampling_ratio=samples, mode=mode,
            output_height=2, output_width=2,
        )  # fmt: skip
        found.append(compute(import_model(made.model, TARGET), made.inputs)["out0"])
    assert np.isfinite(found[0]).all()
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_a_region_with_a_nan_has_one_as_its_largest() -> None:
    x = floats(1, 1, 4, 4) - 9
    x[0, 0, 1, 1] = np.nan
    x[0, 0, 3] = -np.inf
    rois = np.array([[0, 0, 0, 3, 3]], np.float32)
    made = case("MaxRoiPool", x, rois, pooled_shape=[4, 2])
    out = compute(import_model(made.model, TARGET), made.inputs)["out0"]
    want = x.reshape(1, 1, 4, 2, 2).max(axis=-1)
    np.testing.assert_array_equal(out, want)


def test_regions_that_are_no_numbers_read_nothing_outside() -> None:
    x = floats(1, 2, 5, 5)
    rois = np.array([[np.nan] * 4, [-np.inf, 0, np.inf, 3], [1e30, 1e30, 2e30, 2e30]], np.float32)
    for samples, mode in ((0, "avg"), (2, "avg"), (0, "max")):
        made = case("RoiAlign", x, rois, np.array([0, 7, -9]), sampling_ratio=samples, mode=mode)
        assert compute(import_model(made.model, TARGET), made.inputs)["out0"].shape == (3, 2, 1, 1)


def test_a_vector_of_length_zero_or_none_is_left() -> None:
    x = np.array([[0, 0], [3, 4], [np.nan, 1], [np.inf, 1]], np.float32)
    made = case("LpNormalization", x, axis=1)
    got = compute(import_model(made.model, TARGET), made.inputs)["out0"]
    with np.errstate(invalid="ignore"):
        want = [[0, 0], [0.6, 0.8], [np.nan, np.nan], [np.nan, 0]]
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("mode", ["linear", "circular"])
def test_what_is_written_past_the_end(mode: str) -> None:
    """Is left out, or begins at the start."""
    cache, update = floats(2, 5, 3), floats(2, 3, 3, seed=1)
    made = case("TensorScatter", cache, update, np.array([4, 3]), axis=1, mode=mode, opset=24)
    got = compute(import_model(made.model, TARGET), made.inputs)["out0"]
    want = cache.copy()
    for row, begin in enumerate((4, 3)):
        for i in range(3):
            if begin + i < 5 or mode == "circular":
                want[row, (begin + i) % 5] = update[row, i]
    np.testing.assert_array_equal(got, want)


# ---- open sizes ----

OPEN: dict[str, tuple[list[Any], dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "transforms of a batch": (
        [N("DFT", ["x"], ["y"], axis=1, onesided=1)],
        {"x": ("n", 10, 1)},
        {},
        {"n": "1..20"},
    ),
    "frames of a signal": (
        [N("STFT", ["x", "step", "window"], ["y"])],
        {"x": ("b", "n", 1)},
        {"step": np.int64(5), "window": floats(12)},
        {"b": "1..3", "n": "12..90"},
    ),
    "running sums": ([N("CumSum", ["x", "axis"], ["y"], exclusive=1)], {"x": ("b", "n")},
                     {"axis": np.int64(1)}, {"b": "1..4", "n": "1..50"}),
    "rows of length one": ([N("LpNormalization", ["x"], ["y"])], {"x": ("n", 7)}, {},
                           {"n": "1..50"}),
    "blocks of a batch": ([N("Col2Im", ["x", "image", "block"], ["y"])], {"x": ("n", 8, 6)},
                          {"image": np.array([3, 4]), "block": np.array([2, 2])}, {"n": "1..9"}),
    "sums of powers in windows": ([N("LpPool", ["x"], ["y"], kernel_shape=[2, 2])],
                                  {"x": ("n", 3, 6, 5)}, {}, {"n": "1..5"}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPEN)
def test_sizes_may_be_open(name: str) -> None:
    nodes, shapes, constants, sizes = OPEN[name]
    inputs = {n: (shape, "float32") for n, shape in shapes.items()}
    proto = opened(nodes, inputs, {"y": "float32"}, constants)
    ends = [{n: int(said.split("..")[i]) for n, said in sizes.items()} for i in (0, 1)]
    middle = {n: sum(end[n] for end in ends) // 2 for n in sizes}
    runs = [
        (at, {n: floats(*(at.get(d, d) for d in shape)) for n, shape in shapes.items()})
        for at in (*ends, middle)
    ]
    same(proto, sizes, runs)


def test_sequences_and_caches_of_open_lengths() -> None:
    nodes = [
        N("ReverseSequence", ["x", "lengths"], ["turned"], time_axis=1, batch_axis=0),
        N("TensorScatter", ["turned", "update", "at"], ["y"], axis=1),
    ]
    inputs = {
        "x": (("b", "n", 4), "float32"),
        "lengths": (("b",), "int64"),
        "update": (("b", 2, 4), "float32"),
        "at": (("b",), "int64"),
    }
    proto = opened(nodes, inputs, {"y": "float32"})
    proto.opset_import[0].version = 24
    runs = [
        (
            {"b": b, "n": n},
            {
                "x": floats(b, n, 4),
                "lengths": integers(0, n + 1, b),
                "update": floats(b, 2, 4),
                "at": integers(0, n - 1, b),
            },
        )
        for b, n in ((1, 2), (3, 30), (2, 11))
    ]
    same(proto, {"b": "1..3", "n": "2..30"}, runs)


def test_any_number_of_regions() -> None:
    for samples in (0, 2):
        attrs = {"output_height": 2, "output_width": 3, "sampling_ratio": samples}
        inputs = {
            "x": ((1, 3, 8, 9), "float32"),
            "rois": (("n", 4), "float32"),
            "of": (("n",), "int64"),
        }
        proto = opened([N("RoiAlign", list(inputs), ["y"], **attrs)], inputs, {"y": "float32"}, {})
        runs = []
        for n in (1, 5, 20):
            rois = np.sort(floats(n, 2, 2) * 3 + 4, axis=1).reshape(n, 4)
            given = {"x": floats(1, 3, 8, 9), "rois": rois, "of": np.zeros(n, np.int64)}
            runs.append(({"n": n}, given))
        same(proto, {"n": "1..20"}, runs)
