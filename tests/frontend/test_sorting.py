"""TopK and Unique over sizes that are open, that runs find, and that are refused."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from cases_limits import AXES, HUGE, MATRIX, RANKS
from onnx import helper
from onnx_models import TARGET, Case, case, compute, expected, floats, model
from sized_models import computed, integers, opened, same_at_all_sizes
from test_finding import refused, same
from test_limits import check as right_or_refused

from luthier.frontend import import_entry, import_model
from luthier.schedules import ModelError, UnsupportedOperator

N = helper.make_node
Arrays = Mapping[str, np.ndarray]
Runs = list[tuple[dict[str, int], Arrays]]


def top(*before: onnx.NodeProto, count: str = "k", **attrs: int) -> list[onnx.NodeProto]:
    return [*before, N("TopK", ["x", count], ["values", "places"], name="best", **attrs)]


TOP = {"values": "float32", "places": "int64"}


@pytest.mark.parametrize("largest", [0, 1])
def test_a_fixed_number_of_an_open_one(largest: int) -> None:
    nodes = top(axis=1, largest=largest)
    proto = opened(nodes, {"x": (("b", "n", 3), "float32")}, TOP, {"k": integers(4)})
    (program,) = same_at_all_sizes(proto, {"b": "1..9", "n": "4..70"}).variants
    assert "topk(float32[b,n,3]) -> int64[b,4,3]" in {str(call.open) for call in program.calls}


def test_all_of_an_open_number() -> None:
    """An order: how many there are is read from the shape."""
    shape = [N("Shape", ["x"], ["sizes"]), N("Gather", ["sizes", "one"], ["k"])]
    nodes = top(*shape, axis=1)
    proto = opened(nodes, {"x": (("b", "n"), "float32")}, TOP, {"one": integers(1)})
    entry = same_at_all_sizes(proto, {"b": "1..3", "n": "1..50"})
    texts = {str(call.open) for call in entry.variants[0].calls}
    assert "topk(float32[b,n]) -> int64[b,n]" in texts


def test_as_many_as_there_are_up_to_a_bound() -> None:
    """As detectors do before they suppress boxes."""
    least = [
        N("Shape", ["x"], ["sizes"]),
        N("Min", ["sizes", "most"], ["k"]),
    ]
    nodes = top(*least, axis=0)
    proto = opened(nodes, {"x": (("n",), "float32")}, TOP, {"most": integers(20)})
    entry = same_at_all_sizes(proto, {"n": "2..60"})
    texts = {str(call.open) for call in entry.variants[0].calls}
    assert "topk(float32[n]) -> int64[min(n,20)]" in texts


def test_elements_along_an_axis_of_an_open_size() -> None:
    nodes = [N("GatherElements", ["x", "i"], ["y"], axis=1)]
    inputs = {"x": (("b", 7), "float32"), "i": (("b", 3), "int64")}
    proto = opened(nodes, inputs, {"y": "float32"})
    rng = np.random.default_rng(1)
    runs: Runs = [
        ({"b": b}, {"x": floats(b, 7), "i": rng.integers(-7, 7, (b, 3))}) for b in (1, 2, 30)
    ]
    same(proto, {"b": "1..30"}, runs)


def test_an_order_of_what_was_found() -> None:
    """Of none, too."""
    nodes = [
        N("Compress", ["x", "mask"], ["some"], axis=0),
        N("Shape", ["some"], ["count"]),
        N("TopK", ["some", "count"], ["values", "places"]),
    ]
    inputs = {"x": ((40,), "float32"), "mask": ((40,), "bool")}
    proto = opened(nodes, inputs, TOP)
    rng = np.random.default_rng(2)
    runs: Runs = [
        ({}, {"x": floats(40).round(1), "mask": rng.random(40) < share})
        for share in (0, 0.03, 0.5, 1)
    ]
    same(proto, {}, runs)


UNIQUE = {"values": "float32", "first": "int64", "which": "int64", "times": "int64"}


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("in_order", [0, 1])
def test_different_values(axis: int | None, in_order: int) -> None:
    along = {} if axis is None else {"axis": axis}
    nodes = [
        N("Unique", ["x"], list(UNIQUE), sorted=in_order, **along),
        N("Relu", ["values"], ["y"]),
    ]
    inputs = {"x": (("b", 3), "float32")}
    proto = opened(nodes, inputs, UNIQUE | {"y": "float32"})
    rng = np.random.default_rng(in_order)
    runs: Runs = [
        ({"b": b}, {"x": rng.integers(-bound, bound, (b, 3)).astype(np.float32)})
        for b in (1, 2, 7, 30)
        for bound in (1, 2, 1000)
    ]
    entry = same(proto, {"b": "1..30"}, runs)
    assert all(len(variant.found) == 1 for variant in entry.variants)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_different_values_of_nothing(axis: int | None) -> None:
    """There are none, or all slices, which have no elements, are one."""
    along = {} if axis is None else {"axis": axis}
    nodes = [N("Unique", ["x"], list(UNIQUE), **along)]
    outputs = {"values": "int64", "first": "int64", "which": "int64", "times": "int64"}
    proto = opened(nodes, {"x": (("b", 3), "int64")}, outputs)
    runs: Runs = [({"b": b}, {"x": np.arange(3 * b).reshape(b, 3) % 4}) for b in (0, 1, 2, 5)]
    same(proto, {"b": "0..5"}, runs)


def test_results_that_nobody_wants() -> None:
    nodes = [N("Unique", ["x"], ["", "", "", "times"])]
    proto = opened(nodes, {"x": ((9,), "int64")}, {"times": "int64"})
    same(proto, {}, [({}, {"x": np.arange(9) % n}) for n in (1, 4, 9)])


def test_different_values_of_what_was_found() -> None:
    """Of none there are none."""
    nodes = [
        N("Compress", ["x", "mask"], ["some"], axis=0),
        N("Unique", ["some"], list(UNIQUE)),
    ]
    inputs = {"x": ((30,), "float32"), "mask": ((30,), "bool")}
    proto = opened(nodes, inputs, UNIQUE)
    x = (np.arange(30) % 7).astype(np.float32)
    runs: Runs = [({}, {"x": x, "mask": np.arange(30) >= n}) for n in (0, 10, 29)]
    entry = same(proto, {}, runs)
    found = computed(entry.variants[0], {}, {"x": x, "mask": np.zeros(30, bool)})
    assert [array.shape for array in found.values()] == [(0,)] * 4


@pytest.mark.parametrize("in_order", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_different_values_of_a_constant(axis: int | None, in_order: int) -> None:
    """Known when the model is imported, and no size is found."""
    along = {} if axis is None else {"axis": axis}
    nodes = [
        N("Unique", ["c"], list(UNIQUE), sorted=in_order, **along),
        N("Add", ["values", "x"], ["y"]),
    ]
    constants = {"c": np.array([[3, 1, 3], [3, 1, 3], [0, 2, 0]], np.float32)}
    inputs = {"x": ((1,), "float32")}
    proto = opened(nodes, inputs, {"y": "float32", **UNIQUE}, constants)
    del proto.graph.output[1]
    entry = same(proto, {}, [({}, {"x": floats(1)})])
    assert not entry.variants[0].symbols


def of(shape: Sequence[int], node: onnx.NodeProto, k: np.ndarray | None = None) -> onnx.ModelProto:
    constants = {} if k is None else {"k": k}
    outputs = {node.output[0]: "float32"}
    return opened([node], {"x": (shape, "float32")}, outputs, constants)


@pytest.mark.parametrize(
    ("k", "said"),
    [
        (-1, "TopK 'best': it is to give -1 elements, and there are 5"),
        (6, "TopK 'best': the model is not valid ONNX (Axis has less than the requested k"),
        (2**40, "TopK 'best': the model is not valid ONNX (Axis has less than the requested k"),
    ],
)
def test_more_or_less_than_there_are(k: int, said: str) -> None:
    proto = of((3, 5), N("TopK", ["x", "k"], ["v", "i"], name="best"), integers(k))
    assert refused(proto, {}, ModelError).startswith(said)


@pytest.mark.parametrize("k", [integers(1, 2), np.array([1.0], np.float32)])
def test_what_is_no_number_of_elements(k: np.ndarray) -> None:
    proto = of((3, 5), N("TopK", ["x", "k"], ["v", "i"], name="best"), k)
    assert "best" in refused(proto, {}, ModelError)


def test_refusals() -> None:
    axis = of((3, 5), N("TopK", ["x", "k"], ["v", "i"], axis=2), integers(1))
    assert "TopK 'v': the model is not valid ONNX (Invalid value for attr" in refused(
        axis, {}, ModelError
    )
    unique = of((3, 5), N("Unique", ["x"], ["v"], axis=-3))
    assert "the axis -3 is outside of 2 dimensions" in refused(unique, {}, ModelError)
    long = of((1 << 27,), N("TopK", ["x", "k"], ["v", "i"]), integers(1))
    assert "an order of 134217728 elements (more than 67108864)" in refused(long, {})
    huge = of((5000, 1000), N("Unique", ["x"], ["v"]))
    assert "it may find as many as 5000000, and 4194304 are supported" in refused(huge, {})
    fewer = opened(top(), {"x": (("n",), "float32")}, TOP, {"k": integers(5)})
    with pytest.raises(ModelError, match=r"for n=2: TopK 'best': .* less than the requested k"):
        import_entry(fewer, TARGET, {"n": "2..9"})


def test_how_many_may_be_found() -> None:
    proto = model(top(), {"x": floats(9), "k": integers(2)}, ["values"])
    with pytest.raises(UnsupportedOperator, match=r"a run finds some: found_values=0\.\.9"):
        import_model(proto, TARGET)
    assert [symbol.name for symbol in import_entry(proto, TARGET).variants[0].symbols]


def limits() -> list[Case]:
    """Ranks, axes, numbers and what need not be in order."""
    cases = [case("TopK", x, integers(1), constants=(1,), outputs=2) for x in RANKS]
    for axis, x in itertools.product(AXES, RANKS):
        cases.append(case("TopK", x, integers(1), constants=(1,), outputs=2, axis=axis))
    for k in (-1, 0, 2, 4, 5, HUGE):
        cases.append(case("TopK", MATRIX, integers(k), constants=(1,), outputs=2))
        cases.append(case("TopK", MATRIX, outputs=2, k=k, opset=9))
    for index in (-5, -4, 3, 4, HUGE):
        places = np.full((2, 4), index)
        cases.append(case("GatherElements", MATRIX, places, axis=1, note=f"{index}"))
    return cases


def test_limits_are_right_or_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in limits():
            right_or_refused(each)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("in_order", [0, 1])
def test_as_onnx_runtime_does(dtype: str, in_order: int) -> None:
    """With NaN, infinities and many equals; what need not be in order is the same in all."""
    rng = np.random.default_rng(4)
    x = rng.integers(-3, 3, (5, 200)).astype(dtype)
    if dtype.startswith("float"):
        special = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0], dtype)
        x[:, ::9] = rng.choice(special, x[:, ::9].shape)
    for k, largest in itertools.product((1, 5, 30, 199, 200), (0, 1)):
        nodes = top(axis=1, largest=largest, sorted=in_order)
        proto = model(nodes, {"x": x}, ["values", "places"], {"k": integers(k)})
        ours, wanted = compute(import_model(proto, TARGET), {"x": x}), expected(proto, {"x": x})
        for name in TOP if in_order else ():
            assert np.array_equal(ours[name], wanted[name], equal_nan=True), (name, k, largest)
        assert [set(row) for row in ours["places"]] == [set(row) for row in wanted["places"]]
