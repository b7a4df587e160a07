"""Models whose values decide shapes: what they are imported as, computed for several values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from decided_models import Arrays, declared, ended, found, refused, same
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx_models import TARGET, expected, floats
from sized_models import computed, integers, opened

from luthier.frontend import import_model
from luthier.frontend.program import Branch, Expect
from luthier.schedules import UnsupportedOperator

N = helper.make_node
X = ("x", ((4, 6), "float32"))


def vector(count: int) -> tuple[tuple[int], str]:
    return (count,), "int64"


SLICES = [
    ([0, 0], [3, 10], [1, 1]),
    ([-3, 1], [100, -1], [1, 2]),
    ([3, -1], [0, -100], [-1, -2]),
    ([2, 5], [2, 0], [1, -1]),
    ([-(2**63), 2**63 - 1], [2**63 - 1, -(2**63)], [1, -1]),
    ([0, 0], [4, 6], [2**63 - 1, 3]),
]


@pytest.mark.slow
@pytest.mark.parametrize("axes", ["left out", "known", "given"])
def test_a_slice_at_places_that_a_run_is_given(axes: str) -> None:
    names = ["x", "starts", "ends", "" if axes == "left out" else "axes", "steps"]
    nodes = [N("Slice", names, ["z"]), N("Tanh", ["z"], ["y"])]
    three = {"starts": vector(2), "ends": vector(2), "steps": vector(2)}
    inputs = dict([X]) | three | ({"axes": vector(2)} if axes == "given" else {})
    constants = {"axes": integers(0, -1)} if axes == "known" else {}
    proto = opened(nodes, inputs, {"z": "float32", "y": "float32"}, constants)
    runs: list[Arrays] = []
    for starts, ends, steps in SLICES:
        for order in ([0, 1], [-1, 0]) if axes == "given" else ([0, 1],):
            given = {"axes": integers(*order)} if axes == "given" else {}
            turned = [integers(*(each[abs(a)] for a in order)) for each in (starts, ends, steps)]
            given |= dict(zip(("starts", "ends", "steps"), turned, strict=True))
            runs.append({"x": floats(4, 6), **given})
    entry = same(proto, runs)
    assert [str(s) for s in entry.variants[0].symbols] == ["found_z_0=0..8", "found_z_1=0..8"]


def test_a_slice_whose_length_is_declared_asks_for_it() -> None:
    nodes = [N("Slice", ["x", "starts", "ends"], ["y"])]
    inputs = dict([X]) | {"starts": vector(1), "ends": vector(1)}
    proto = declared(opened(nodes, inputs, {"y": "float32"}), y=(2, 6))
    runs = [
        {"x": floats(4, 6), "starts": integers(a), "ends": integers(b)}
        for a, b in ((0, 2), (1, 3), (-2, 9))
    ]
    entry = same(proto, runs)
    assert not entry.variants[0].symbols
    said = ended(entry, {"x": floats(4, 6), "starts": integers(0), "ends": integers(3)})
    assert said == "Slice 'y': it takes so many elements: [3], not [2]"


@pytest.mark.slow
def test_a_slice_that_makes_no_step_ends_the_run() -> None:
    nodes = [N("Slice", ["x", "zero", "end", "axes", "steps"], ["y"])]
    constants = {"zero": integers(0), "end": integers(4)}
    inputs = dict([X]) | {"axes": vector(1), "steps": vector(1)}
    entry = same(opened(nodes, inputs, {"y": "float32"}, constants), [])
    x = floats(4, 6)
    said = ended(entry, {"x": x, "axes": integers(0), "steps": integers(0)})
    assert said == "Slice 'y': the number of its steps that are 0 is 1, not 0"
    said = ended(entry, {"x": x, "axes": integers(2), "steps": integers(1)})
    assert said == "Slice 'y': its axes are dimensions so often: [0], not [1]"


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "float32", "float64"])
def test_a_range_between_bounds_that_a_run_is_given(dtype: str) -> None:
    nodes = [N("Range", ["a", "b", "c"], ["z"]), N("Neg", ["z"], ["y"])]
    inputs = {name: ((), dtype) for name in "abc"}
    proto = opened(nodes, inputs, {"z": dtype, "y": dtype})
    triples = [(0, 5, 1), (5, 0, -2), (3, 3, 1), (3, 0, 1), (-7, 30, 4), (9, -9, -5), (1, 2, 30)]
    runs = [dict(zip("abc", np.array(each, dtype), strict=True)) for each in triples]
    entry = same(proto, runs, {"found_z": 40})
    wrong = dict(zip("abc", np.array((0, 5, 0), dtype), strict=True))
    assert ended(entry, wrong) == "Range 'z': the number of its steps that are 0 is [1], not [0]"


def test_a_range_is_as_long_as_no_size_can_be() -> None:
    nodes = [N("Range", ["a", "b", "c"], ["y"])]
    integers_ = opened(nodes, {name: ((), "int64") for name in "abc"}, {"y": "int64"})
    entry = same(integers_, [], {"found_y": 40})
    for a, b, c, count in (
        (-(2**63), 2**63 - 1, 1, -1),
        (2**62, -(2**62) - 5000, -1, -1),
        (0, 2**60, 1, 2**60),
        (0, 2**60, -(2**63), 0),
    ):
        inputs = dict(zip("abc", map(np.int64, (a, b, c)), strict=True))
        assert found(entry, inputs) == [count]
    real = opened(nodes, {name: ((), "float32") for name in "abc"}, {"y": "float32"})
    entry = same(real, [], {"found_y": 40})
    for a, b, c in ((0, np.inf, 1), (0, np.nan, 1), (0, 1, 1e-30)):
        inputs = dict(zip("abc", map(np.float32, (a, b, c)), strict=True))
        assert found(entry, inputs) == [-1]


def test_a_reshape_to_a_declared_shape() -> None:
    nodes = [N("Reshape", ["x", "shape"], ["z"]), N("Sqrt", ["z"], ["y"])]
    inputs = dict([X]) | {"shape": vector(3)}
    proto = declared(opened(nodes, inputs, {"y": "float32"}), y=(4, 2, 3))
    x = np.abs(floats(4, 6))
    shapes = ([4, 2, 3], [0, 2, 3], [-1, 2, 3], [0, -1, 3])
    entry = same(proto, [{"x": x, "shape": integers(*shape)} for shape in shapes])
    (expect,) = [step for step in entry.variants[0].steps if isinstance(step, Expect)]
    assert expect.source == "Reshape 'z'"
    for shape, seen in (([4, 3, 2], [4, 3, 2]), ([-1, -1, 3], [-1, -1, 3]), ([0, 0, 3], [4, 6, 3])):
        said = ended(entry, {"x": x, "shape": integers(*shape)})
        assert said == f"Reshape 'z': its result has the shape {seen}, not [4, 2, 3]"


def test_a_reshape_to_what_one_size_is_left_of() -> None:
    nodes = [N("Reshape", ["x", "shape"], ["y"])]
    one = opened(nodes, dict([X]) | {"shape": vector(1)}, {"y": "float32"})
    entry = same(one, [{"x": floats(4, 6), "shape": integers(n)} for n in (24, -1)])
    assert not entry.variants[0].symbols
    two = opened(nodes, dict([X]) | {"shape": vector(2)}, {"y": "float32"})
    entry = same(declared(two, y=(None, 8)), [{"x": floats(4, 6), "shape": integers(-1, 8)}])
    assert "[4, 6], not [3, 8]" in ended(entry, {"x": floats(4, 6), "shape": integers(4, 6)})


@pytest.mark.slow
def test_a_reshape_to_sizes_that_are_found() -> None:
    nodes = [N("Reshape", ["x", "shape"], ["z"]), N("Exp", ["z"], ["y"])]
    proto = opened(nodes, dict([X]) | {"shape": vector(3)}, {"y": "float32"})
    shapes = ([4, 2, 3], [1, 1, 24], [0, -1, 2], [-1, 1, 1], [2, 0, 2])
    entry = same(proto, [{"x": floats(4, 6), "shape": integers(*shape)} for shape in shapes])
    assert len(entry.variants[0].found) == 3
    for shape, product in (([4, 2, 2], 16), ([24, 24, 24], 25), ([7, -1, 3], 21)):
        said = ended(entry, {"x": floats(4, 6), "shape": integers(*shape)})
        assert said == f"Reshape 'z': the elements of its result are [{product}], not [24]"


@pytest.mark.slow
def test_an_expansion() -> None:
    nodes = [N("Expand", ["x", "shape"], ["y"])]
    inputs = {"x": ((3, 1), "float32"), "shape": vector(3)}
    open_ = opened(nodes, inputs, {"y": "float32"})
    runs = [
        {"x": floats(3, 1), "shape": integers(*each)} for each in ([2, 3, 5], [1, 1, 1], [4, 3, 1])
    ]
    entry = same(open_, runs, {"found_y_0": 9, "found_y_2": 10})
    said = [str(symbol) for symbol in entry.variants[0].symbols]
    assert said == ["found_y_0=0..9", "found_y_2=0..10"]
    wrong = ended(entry, {"x": floats(3, 1), "shape": integers(1, 2, 5)})
    assert wrong == "Expand 'y': its result has the shape [2], not [3]"
    fixed = declared(opened(nodes, inputs, {"y": "float32"}), y=(2, 3, 4))
    entry = same(
        fixed, [{"x": floats(3, 1), "shape": integers(*s)} for s in ([2, 1, 4], [2, 3, 4])]
    )
    assert "[2, 3, 1], not [2, 3, 4]" in ended(
        entry, {"x": floats(3, 1), "shape": integers(2, 3, 1)}
    )


@pytest.mark.slow
def test_how_often_it_is_repeated() -> None:
    nodes = [N("Tile", ["x", "times"], ["y"])]
    proto = opened(nodes, dict([X]) | {"times": vector(2)}, {"y": "float32"})
    runs = [{"x": floats(4, 6), "times": integers(*each)} for each in ([1, 1], [3, 1], [0, 2])]
    same(proto, runs, {"found_y_0": 4, "found_y_1": 3})
    entry = same(declared(proto, y=(8, 18)), [{"x": floats(4, 6), "times": integers(2, 3)}])
    said = ended(entry, {"x": floats(4, 6), "times": integers(1, 3)})
    assert said == "Tile 'y': it repeats each dimension [1, 3], not [2, 3]"


@pytest.mark.slow
def test_a_constant_of_a_shape_that_a_run_computes() -> None:
    nodes = [
        N("NonZero", ["x"], ["places"]),
        N("ReduceMax", ["lengths"], ["longest"], keepdims=1),
        N("ConstantOfShape", ["longest"], ["zeros"]),
        N("Range", ["zero", "most", "one"], ["steps"]),
        N("Squeeze", ["longest"], ["most"]),
    ]
    nodes = [nodes[1], nodes[2], nodes[4], nodes[3]]
    constants = {"zero": np.array(0), "one": np.array(1)}
    outputs = {"zeros": "float32", "steps": "int64"}
    proto = opened(nodes, {"lengths": vector(5)}, outputs, constants)
    runs = [{"lengths": integers(0, n, 2, 1, 1)} for n in (0, 1, 7, 100)]
    entry = same(proto, runs, {"found_zeros": 100})
    assert entry.variants[0].found == {"found_zeros"}


@pytest.mark.slow
def test_open_sizes_and_values_together() -> None:
    """Rows from a place on, as many as the model is asked for, and a mask of these."""
    nodes = [
        N("Slice", ["x", "first", "last"], ["rows"]),
        N("ReduceSum", ["rows", "one"], ["sums"], keepdims=0),
        N("Shape", ["rows"], ["shape"]),
        N("ConstantOfShape", ["shape"], ["zeros"]),
        N("Add", ["rows", "zeros"], ["y"]),
    ]
    inputs = {"x": (("rows", 6), "float32"), "first": vector(1), "last": vector(1)}
    outputs = {"y": "float32", "sums": "float32"}
    proto = opened(nodes, inputs, outputs, {"one": integers(1)})
    runs = [
        {"x": floats(rows, 6), "first": integers(a), "last": integers(b)}
        for rows in (1, 2, 9, 20)
        for a, b in ((0, 99), (1, 3), (-3, -1), (5, 2))
    ]
    entry = same(proto, runs, shapes={"rows": "1..20"})
    (program,) = entry.variants
    assert [str(s) for s in program.symbols] == ["rows=1..20", "found_rows=0..20"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("axes", ["left out", "given"])
def test_padding_of_widths_that_a_run_is_given(mode: str, axes: str) -> None:
    value = "value" if mode == "constant" else ""
    names = ["x", "pads", value, *(["axes"] if axes == "given" else [])]
    proto = opened(
        [N("Pad", names, ["y"], mode=mode)],
        dict([X])
        | {"pads": vector(4)}
        | ({"value": ((), "float32")} if value else {})
        | ({"axes": vector(2)} if axes == "given" else {}),
        {"y": "float32"},
    )
    proto.opset_import[0].version = 19
    runs: list[dict[str, Any]] = []
    for pads in ([0, 0, 0, 0], [1, 2, 3, 4], [0, 3, 1, 0], [-1, 2, -1, -2]):
        if min(pads) < 0 and mode != "constant":
            continue
        run: dict[str, Any] = {"x": floats(4, 6), "pads": integers(*pads)}
        run |= {"value": np.float32(7)} if value else {}
        runs.append(run | ({"axes": integers(1, -2)} if axes == "given" else {}))
    entry = same(proto, runs[:1] if axes == "given" else runs, {"found_y_0": 12, "found_y_1": 14})
    for run in runs:  # ONNX Runtime takes some for wrong
        inputs = {name: np.asarray(array) for name, array in run.items()}
        constant = mode == "constant"
        wanted = expected(proto, inputs)["y"] if constant else _reference(proto, inputs)
        ours = computed(entry.variants[0], {}, inputs)["y"]
        np.testing.assert_array_equal(ours, wanted)


def _reference(proto: onnx.ModelProto, inputs: Arrays) -> np.ndarray:
    (wanted,) = ReferenceEvaluator(proto).run(None, dict(inputs))
    return np.asarray(wanted)


@pytest.mark.slow
def test_pieces_of_sizes_that_a_run_is_given() -> None:
    nodes = [N("Split", ["x", "sizes"], ["a", "b", "c"], axis=1)]
    inputs = dict([X]) | {"sizes": vector(3)}
    proto = opened(nodes, inputs, dict.fromkeys("abc", "float32"))
    runs = [{"x": floats(4, 6), "sizes": integers(*each)} for each in ([1, 2, 3], [4, 1, 1])]
    entry = same(proto, runs)
    said = ended(entry, {"x": floats(4, 6), "sizes": integers(1, 2, 4)})
    assert said == "Split 'a': the sum of its sizes is 7, not 6"
    fixed = declared(proto, a=(4, 1), b=(4, 2), c=(4, 3))
    entry = same(fixed, runs[:1])
    assert not entry.variants[0].symbols
    assert "its sizes are [4, 1, 1], not [1, 2, 3]" in ended(entry, runs[1])


@pytest.mark.parametrize("axis", [0, -1])
def test_as_many_of_the_largest_as_a_run_is_given(axis: int) -> None:
    nodes = [N("TopK", ["x", "k"], ["v", "i"], axis=axis), N("Neg", ["v"], ["y"])]
    inputs = {"x": ((4, 5), "float32"), "k": vector(1)}
    proto = opened(nodes, inputs, {"y": "float32", "i": "int64"})
    same(proto, [{"x": floats(4, 5), "k": integers(k)} for k in (1, 2, 4)])
    shape = (2, 5) if axis == 0 else (4, 2)
    fixed = same(declared(proto, y=shape, i=shape), [{"x": floats(4, 5), "k": integers(2)}])
    said = "the number of its elements is [3], not [2]"
    assert said in ended(fixed, {"x": floats(4, 5), "k": integers(3)})


def test_a_depth() -> None:
    nodes = [N("OneHot", ["i", "depth", "values"], ["y"], axis=0)]
    inputs = {"i": vector(4), "depth": vector(1)}
    constants = {"values": np.array([0, 1], np.float32)}
    proto = opened(nodes, inputs, {"y": "float32"}, constants)
    runs = [{"i": integers(0, 1, -1, 2), "depth": integers(n)} for n in (3, 4, 9)]
    same(proto, runs, {"found_y": 9})
    entry = same(declared(proto, y=(4, 4)), runs[1:2])
    assert "its depth is [3], not [4]" in ended(entry, runs[0])


def test_axes_that_a_declared_shape_decides() -> None:
    inputs = {"x": ((1, 4, 1), "float32"), "axes": vector(1)}
    x = floats(1, 4, 1)
    squeezed = opened([N("Squeeze", ["x", "axes"], ["y"])], inputs, {"y": "float32"})
    entry = same(declared(squeezed, y=(4, 1)), [{"x": x, "axes": integers(a)} for a in (0, -3)])
    assert "[1, 4], not [4, 1]" in ended(entry, {"x": x, "axes": integers(2)})
    assert "[1, 4, 1], not [1, 1, 1]" in ended(entry, {"x": x, "axes": integers(1)})
    assert "[0], not [1]" in ended(entry, {"x": x, "axes": integers(3)})
    wider = opened([N("Unsqueeze", ["x", "axes"], ["y"])], inputs, {"y": "float32"})
    runs = [{"x": x, "axes": integers(a)} for a in (0, 1, -4, -3)]
    entry = same(declared(wider, y=(1, 1, 4, 1)), runs)
    assert "[1, 4, 1, 1], not [1, 1, 4, 1]" in ended(entry, {"x": x, "axes": integers(2)})


def test_axes_that_no_shape_decides() -> None:
    x, inputs = floats(1, 4, 1), {"x": ((1, 4, 1), "float32"), "axes": vector(1)}
    squeezed = opened([N("Squeeze", ["x", "axes"], ["y"])], inputs, {"y": "float32"})
    same(squeezed, [{"x": x, "axes": integers(a)} for a in (0, 2, -1)])
    sure = opened([N("Squeeze", ["x", "axes"], ["y"])], inputs, {"y": "float32"})
    sure.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 3
    entry = same(sure, [{"x": floats(1, 4, 3), "axes": integers(0)}])
    assert not entry.variants[0].symbols


def test_a_number_that_two_nodes_are_told_is_one_size() -> None:
    """A table of as many rows as a list says, to each of which its place is added."""
    nodes = [
        N("Gather", ["sizes", "one"], ["rows"]),
        N("Range", ["zero", "rows", "step"], ["places"]),
        N("Slice", ["sizes", "ones", "twos"], ["part"]),
        N("Concat", ["part", "columns"], ["shape"], axis=0),
        N("ConstantOfShape", ["shape"], ["table"]),
        N("Cast", ["places"], ["numbers"], to=1),
        N("Unsqueeze", ["numbers", "ones"], ["column"]),
        N("Add", ["table", "column"], ["y"]),
    ]
    constants = {
        "zero": np.array(0),
        "one": np.array(1),
        "step": np.array(1),
        "ones": integers(1),
        "twos": integers(2),
        "columns": integers(3),
    }
    proto = opened(nodes, {"sizes": vector(2)}, {"y": "float32"}, constants)
    bounds = {"found_places": 9}
    entry = same(proto, [{"sizes": integers(7, n)} for n in (1, 4, 9)], bounds)
    assert [str(s) for s in entry.variants[0].symbols] == ["found_places=0..9"]


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceMean"])
def test_a_reduction_along_axes_that_a_run_is_given(op: str) -> None:
    inputs = {"x": ((3, 4, 3), "float32"), "axes": vector(1)}
    x = floats(3, 4, 3)
    kept = opened([N(op, ["x", "axes"], ["y"], keepdims=1)], inputs, {"y": "float32"})
    entry = same(declared(kept, y=(3, 1, 3)), [{"x": x, "axes": integers(a)} for a in (1, -2)])
    assert "[1, 0, 0], not [0, 1, 0]" in ended(entry, {"x": x, "axes": integers(0)})
    gone = opened([N(op, ["x", "axes"], ["y"], keepdims=0)], inputs, {"y": "float32"})
    entry = same(declared(gone, y=(3, 4)), [{"x": x, "axes": integers(2)}])
    square = opened([N(op, ["x", "axes"], ["y"], keepdims=0)], inputs, {"y": "float32"})
    square.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    cube = floats(3, 3, 3)
    runs = [{"x": cube, "axes": integers(a)} for a in (0, 1, 2, -1)]
    entry = same(declared(square, y=(3, 3)), runs)
    assert any(isinstance(step, Branch) for step in entry.variants[0].steps)
    assert "[0], not [1]" in ended(entry, {"x": cube, "axes": integers(3)})


def test_a_sum_along_an_axis_that_a_run_is_given() -> None:
    inputs = {"x": ((3, 4, 2), "float32"), "axis": ((), "int64")}
    proto = opened([N("CumSum", ["x", "axis"], ["y"])], inputs, {"y": "float32"})
    runs = [{"x": floats(3, 4, 2), "axis": np.int64(a)} for a in (0, 1, 2, -1, -3)]
    entry = same(proto, runs)
    assert "[0], not [1]" in ended(entry, {"x": floats(3, 4, 2), "axis": np.int64(3)})


def test_an_image_is_as_large_as_is_declared() -> None:
    inputs = {"x": ((1, 2, 3, 3), "float32"), "sizes": vector(4)}
    nodes = [N("Resize", ["x", "", "", "sizes"], ["y"], mode="linear")]
    proto = declared(opened(nodes, inputs, {"y": "float32"}), y=(1, 2, 7, 5))
    entry = same(proto, [{"x": floats(1, 2, 3, 3), "sizes": integers(1, 2, 7, 5)}])
    said = ended(entry, {"x": floats(1, 2, 3, 3), "sizes": integers(1, 2, 7, 6)})
    assert said == "Resize 'y': its sizes are [1, 2, 7, 6], not [1, 2, 7, 5]"
    nodes = [N("Resize", ["x", "", "scales"], ["y"], mode="nearest")]
    scaled = opened(
        nodes, {"x": ((1, 2, 3, 3), "float32"), "scales": ((4,), "float32")}, {"y": "float32"}
    )
    scales = np.array([1, 1, 2, 3], np.float32)
    entry = same(declared(scaled, y=(1, 2, 6, 9)), [{"x": floats(1, 2, 3, 3), "scales": scales}])
    said = ended(entry, {"x": floats(1, 2, 3, 3), "scales": scales + np.float32(0.5)})
    assert said == "Resize 'y': it gives so many elements: [1, 3, 7, 10], not [1, 2, 6, 9]"


@pytest.mark.slow
def test_what_is_computed_of_sizes_alone_is_known() -> None:
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Concat", ["shape", "count"], ["both"], axis=0),
        N("Slice", ["both", "zero", "two"], ["known"]),
        N("Reshape", ["x", "known"], ["y"]),
        N("Expand", ["one", "count"], ["z"]),
    ]
    constants = {"zero": integers(0), "two": integers(2), "one": np.ones(1, np.float32)}
    inputs = dict([X]) | {"count": vector(1)}
    proto = opened(nodes, inputs, {"y": "float32", "z": "float32"}, constants)
    same(proto, [{"x": floats(4, 6), "count": integers(n)} for n in (1, 5)], {"found_z": 9})


def test_in_a_branch_values_may_decide_what_is_declared_nowhere() -> None:
    """Where to read is data; how much is a size, which is found before the branch."""
    body = [N("Slice", ["x", "first", "last"], ["part"])]
    info = helper.make_tensor_value_info("part", 1, None)
    then = helper.make_graph(body, "then", [], [info])
    same_ = helper.make_tensor_value_info("same", 1, None)
    other = helper.make_graph([N("Identity", ["x"], ["same"])], "else", [], [same_])
    nodes = [N("If", ["flag"], ["y"], then_branch=then, else_branch=other)]
    inputs = dict([X]) | {"first": vector(1), "last": vector(1), "flag": ((), "bool")}
    runs = [
        {"x": floats(4, 6), "first": integers(first), "last": integers(9), "flag": np.array(flag)}
        for first, flag in ((1, True), (4, True), (2, False))
    ]
    same(opened(nodes, inputs, {"y": "float32"}), runs)


@pytest.mark.slow
def test_refusals() -> None:
    def one(op: str, names: Sequence[str], inputs: Any, **attrs: Any) -> onnx.ModelProto:
        return opened([N(op, list(names), ["y"], **attrs)], inputs, {"y": "float32"})

    shape = dict([X]) | {"shape": vector(2)}
    said = refused(one("Expand", ["one", "shape"], {"one": vector(1), "shape": vector(2)}))
    assert said.startswith("Expand 'y': data decide how large its result is, and nothing says")
    assert said.endswith("give bounds, such as --bound found_y_0=1024 --bound found_y_1=1024")
    assert "a bound is given for 'z'" in refused(one("Tanh", ["x"], dict([X])), {"z": 5})
    assert "the sizes that a run finds are: found_y_0, found_y_1" in refused(
        one("Reshape", ["x", "shape"], shape), {"found_y": 5}
    )
    wrong = declared(one("Reshape", ["x", "shape"], shape), y=(5, 5))
    assert "does not reshape to [5, 5], as is declared" in refused(wrong)
    ranks = declared(one("Reshape", ["x", "shape"], shape), y=(24,))
    assert "its result has 2 dimensions, but the model declares 1" in refused(ranks)
    huge = dict([X]) | {"shape": ((100_000,), "int64")}
    assert "its result would have 100000 dimensions" in refused(
        one("Reshape", ["x", "shape"], huge)
    )
    with pytest.raises(UnsupportedOperator, match=r"a run finds some: found_y_0=0\.\.24, "):
        import_model(one("Reshape", ["x", "shape"], shape), TARGET)
