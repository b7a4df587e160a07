"""Models whose runs find sizes: what they are imported as, computed at the sizes that are found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import TARGET, expected, floats
from sized_models import computed, integers, opened

from luthier.frontend import Entry, Shapes, import_entry, import_model
from luthier.frontend.program.library import Library, verify_library
from luthier.schedules import ModelError, UnsupportedOperator

N = helper.make_node
Arrays = Mapping[str, np.ndarray]


def same(
    proto: onnx.ModelProto, shapes: Shapes, runs: list[tuple[dict[str, int], Arrays]]
) -> Entry:
    """The entry, whose programs give what the model does for inputs of some sizes."""
    entry = import_entry(proto, TARGET, shapes)
    verify_library(Library("small", {"run": entry}))
    for sizes, inputs in runs:
        program = entry.variant(sizes)
        assert program is not None
        ours, wanted = computed(program, sizes, inputs), expected(proto, inputs)
        for name, array in wanted.items():
            assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), name
            np.testing.assert_allclose(ours[name], array, 1e-5, 1e-6, err_msg=name)
    return entry


def shifted(shape: tuple[int, ...], by: float) -> np.ndarray:
    return floats(*shape, seed=len(shape)) + np.float32(by)


def above() -> onnx.ModelProto:
    """The places of what is above a number, what is there, and a sum of that."""
    nodes = [
        N("Greater", ["x", "zero"], ["mask"]),
        N("NonZero", ["mask"], ["places"]),
        N("Transpose", ["places"], ["rows"], perm=[1, 0]),
        N("GatherND", ["x", "rows"], ["values"]),
        N("Exp", ["values"], ["y"]),
        N("ReduceSum", ["y"], ["sum"], keepdims=0),
        N("Shape", ["y"], ["count"]),
    ]
    outputs = {"places": "int64", "y": "float32", "sum": "float32", "count": "int64"}
    return opened(nodes, {"x": (("b", 6), "float32")}, outputs, {"zero": np.float32(0)})


@pytest.mark.parametrize("opset", [10, 11, 18])
def test_boxes_are_found_in_each_operator_set(opset: int) -> None:
    """Also before the one that has what picks the boxes' numbers."""
    boxes = np.array([[[0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 3, 3]]], np.float32)
    nodes = [N("NonMaxSuppression", ["boxes", "scores", "most", "half"], ["y"])]
    known = {"boxes": boxes, "most": np.array([3]), "half": np.array([0.5], np.float32)}
    proto = opened(nodes, {"scores": ((1, 2, 3), "float32")}, {"y": "int64"}, known, opset=opset)
    scores = np.array([[[0.5, 0.9, 0.25], [0.75, 0.5, 1]]], np.float32)
    same(proto, {}, [({"found_y": 4}, {"scores": scores})])


def test_operators_of_onnx_runtime_take_what_is_found() -> None:
    """Also such as need to know a shape, which is known for as many as there are."""
    nodes = [
        N("Compress", ["x", "mask"], ["some"], axis=0),
        N("Trilu", ["some"], ["y"], domain="com.microsoft", upper=1),
        N("UnfoldTensor", ["some"], ["z"], domain="com.microsoft", dim=1, size=2, step=2),
    ]
    inputs = {"x": ((4, 6), "float32"), "mask": ((4,), "bool")}
    proto = opened(nodes, inputs, {"y": "float32", "z": "float32"})
    proto.opset_import.add(domain="com.microsoft", version=1)
    given = {"x": floats(4, 6), "mask": np.array([True, False, True, True])}
    same(proto, {}, [({"found_some": 3}, given)])


def test_its_name_is_no_other_sizes() -> None:
    nodes = [N("NonZero", ["x"], ["places"])]
    inputs = {"x": (("found_places", 2), "float32")}
    proto = opened(nodes, inputs, {"places": "int64"}, {})
    entry = import_entry(proto, TARGET, {"found_places": range(1, 5)})
    (program,) = entry.variants
    assert [str(size) for size in program.given] == ["found_places=1..4"]
    assert program.found == {"found_places_0"}


def test_what_is_found_has_a_size_of_its_own() -> None:
    runs = [
        ({"b": b}, {"x": shifted((b, 6), by)}) for b in (1, 2, 3, 17, 40) for by in (-99, 0, 99)
    ]
    entry = same(above(), {"b": "1..40"}, runs)
    assert [str(s) for s in entry.symbols] == ["b=1..40"]
    (places, y, total, count) = (value for _, value in entry.variants[0].outputs)
    program = entry.variants[0]
    assert program.found == {"found_places"}
    assert "found_places=0..240" in map(str, program.symbols)
    types = [str(program.type(value)) for value in (places, y, total, count)]
    assert types == ["int64[2,found_places]", "float32[found_places]", "float32[]", "int64[1]"]


def test_a_model_of_fixed_shapes_may_find_sizes() -> None:
    runs: list[tuple[dict[str, int], Arrays]] = [
        ({}, {"x": shifted((7, 6), by)}) for by in (-99, 0, 99)
    ]
    entry = same(above(), {"x": (7, 6)}, runs)
    assert not entry.symbols
    assert entry.variants[0].symbols


def test_in_one_number_as_in_a_list_of_one() -> None:
    made = opened([N("NonZero", ["x"], ["y"])], {"x": ((), "float32")}, {"y": "int64"})
    same(made, {}, [({}, {"x": np.array(number, np.float32)}) for number in (0.0, 2.0)])


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_compress(axis: int | None) -> None:
    attrs = {} if axis is None else {"axis": axis}
    nodes = [N("Compress", ["x", "c"], ["z"], **attrs), N("Tanh", ["z"], ["y"])]
    inputs = {"x": ((5, 4), "float32"), "c": ((4,), "bool")}
    proto = opened(nodes, inputs, {"z": "float32", "y": "float32"})
    runs: list[tuple[dict[str, int], Arrays]] = [
        ({}, {"x": floats(5, 4), "c": np.array([bits >> i & 1 for i in range(4)], bool)})
        for bits in (0, 1, 6, 15)
    ]
    same(proto, {}, runs)


def test_what_one_search_finds_is_searched_again() -> None:
    nodes = [
        N("Compress", ["x", "c"], ["z"], axis=0),
        N("Greater", ["z", "zero"], ["mask"]),
        N("NonZero", ["mask"], ["y"]),
        N("Concat", ["z", "x"], ["both"], axis=0),
    ]
    inputs = {"x": (("b", 3), "float32"), "c": (("b",), "bool")}
    outputs = {"y": "int64", "both": "float32"}
    proto = opened(nodes, inputs, outputs, {"zero": np.float32(0)})
    runs = [
        ({"b": b}, {"x": floats(b, 3), "c": np.arange(b) % step == step - 1})
        for b in (1, 2, 9)
        for step in (1, 2, 5)
    ]
    entry = same(proto, {"b": "1..9"}, runs)
    assert len(entry.variants[0].found) == 2


def test_a_number_of_what_was_found_is_computed_with() -> None:
    nodes = [
        N("NonZero", ["x"], ["places"]),
        N("Shape", ["places"], ["shape"]),
        N("Gather", ["shape", "one"], ["count"]),
        N("Cast", ["count"], ["many"], to=7),
        N("Mul", ["x", "many"], ["y"]),
        N("Range", ["zero", "count", "one"], ["numbers"]),
    ]
    constants = {"one": np.array(1), "zero": np.array(0)}
    outputs = {"y": "int64", "numbers": "int64", "places": "int64"}
    proto = opened(nodes, {"x": ((3, 4), "int64")}, outputs, constants)
    runs: list[tuple[dict[str, int], Arrays]] = [
        ({}, {"x": (np.arange(12).reshape(3, 4) < n).astype(np.int64)}) for n in (0, 1, 2, 12)
    ]
    same(proto, {}, runs)


def test_what_is_looked_for_twice_is_found_once() -> None:
    """As exporters write each use of a mask."""
    nodes = [
        N("Greater", ["x", "zero"], ["mask"]),
        N("NonZero", ["mask"], ["places"]),
        N("NonZero", ["mask"], ["again"]),
        N("Gather", ["x", "places"], ["some"]),
        N("Gather", ["z", "again"], ["others"]),
        N("Add", ["some", "others"], ["y"]),
    ]
    inputs = {name: ((6,), "float32") for name in "xz"}
    proto = opened(nodes, inputs, {"y": "float32"}, {"zero": np.float32(0)})
    runs: list[tuple[dict[str, int], Arrays]] = [
        ({}, {"x": shifted((6,), by), "z": floats(6, seed=3)}) for by in (-99, 0, 99)
    ]
    assert len(same(proto, {}, runs).variants[0].found) == 1


@pytest.mark.parametrize("bounds", [(0, 5, 1), (-3, 99, 1), (1, -1, 2), (-1, -99, -3)])
def test_some_of_what_was_found(bounds: tuple[int, int, int]) -> None:
    """However many there are, and whatever is made of that many."""
    nodes = [
        N("NonZero", ["x"], ["places"]),
        N("Transpose", ["places"], ["rows"], perm=[1, 0]),
        N("Slice", ["rows", "start", "end", "zero", "step"], ["some"]),
        N("GatherND", ["x", "some"], ["values"]),
        N("Exp", ["values"], ["y"]),
        N("Slice", ["some", "one", "two", "one"], ["columns"]),
    ]
    numbers = dict(zip(("start", "end", "step"), map(integers, bounds), strict=True))
    constants = {**numbers, "zero": integers(0), "one": integers(1), "two": integers(2)}
    outputs = {"some": "int64", "y": "float32", "columns": "int64"}
    proto = opened(nodes, {"x": (("b", 3), "float32")}, outputs, constants)
    runs = [
        ({"b": b}, {"x": np.eye(b, 3, dtype=np.float32) * n}) for b in (1, 2, 3) for n in (0, 1)
    ]
    runs += [({"b": b}, {"x": floats(b, 3)}) for b in (1, 2, 3, 9)]
    entry = same(proto, {"b": "1..9"}, runs)
    assert len(entry.variants[0].found) == 2


def test_corners_of_what_was_found_are_no_sizes() -> None:
    """Two boxes of each row, as torchvision's Faster R-CNN clips them: how many corners a box has,
    inference does not tell, and no run finds."""
    nodes = [
        N("NonZero", ["mask"], ["places"]),
        N("Squeeze", ["places", "first"], ["rows"]),
        N("Gather", ["x", "rows"], ["some"], axis=0),
        N("Shape", ["rows"], ["count"]),
        N("Concat", ["count", "four"], ["each"], axis=0),
        N("Reshape", ["some", "each"], ["boxes"]),
        N("Slice", ["boxes", "first", "last", "axis", "two"], ["xs"]),
        N("Slice", ["boxes", "second", "last", "axis", "two"], ["ys"]),
        N("Unsqueeze", ["xs", "inner"], ["columns"]),
        N("Unsqueeze", ["ys", "inner"], ["lines"]),
        N("Concat", ["lines", "columns"], ["pairs"], axis=3),
        N("Shape", ["boxes"], ["shape"]),
        N("Reshape", ["pairs", "shape"], ["y"]),
    ]
    numbers = {"first": 0, "second": 1, "two": 2, "axis": 2, "inner": 3, "last": 1 << 40}
    constants = {name: integers(number) for name, number in numbers.items()}
    constants["four"] = integers(-1, 4)
    inputs = {"x": ((9, 8), "float32"), "mask": ((9,), "bool")}
    proto = opened(nodes, inputs, {"y": "float32"}, constants)
    runs = [({}, {"x": floats(9, 8), "mask": np.arange(9) < count}) for count in (1, 2, 5, 9)]
    (program,) = same(proto, {}, runs).variants
    assert program.found == {"found_places"}


@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_padded_to_a_size(mode: str) -> None:
    """As detectors pad the first so many of their boxes."""
    nodes = [
        N("NonZero", ["x"], ["places"]),
        N("Slice", ["places", "zero", "most", "one"], ["some"]),
        N("Shape", ["some"], ["shape"]),
        N("Gather", ["shape", "one"], ["count"], axis=0),
        N("Sub", ["most", "count"], ["left"]),
        N("Concat", ["zero", "zero", "zero", "left"], ["widths"], axis=0),
        N("Pad", ["some", "widths"], ["y"], mode=mode),
    ]
    constants = {"zero": integers(0), "one": integers(1), "most": integers(6)}
    proto = opened(nodes, {"x": ((3, 4), "int64")}, {"y": "int64"}, constants)
    least = 1 if mode == "edge" else 0  # nothing has no edge
    runs: list[tuple[dict[str, int], Arrays]] = [
        ({}, {"x": (np.arange(12).reshape(3, 4) < n).astype(np.int64)}) for n in range(least, 13)
    ]
    (program,) = same(proto, {}, runs).variants
    assert [str(program.type(v)) for _, v in program.outputs] == ["int64[2,6]"]


def best_of_classes(most: int, places: int) -> onnx.ModelProto:
    """The best scores above 0 of each of three classes, and these, as torchvision's SSD has it."""
    nodes = []
    for c in range(3):
        made = {name: f"{name}{c}" for name in ("row", "mask", "at", "rows", "some", "shape", "k")}
        nodes += [
            N("Gather", ["x", f"class{c}"], [made["row"]], axis=0),
            N("Greater", [made["row"], "zero"], [made["mask"]]),
            N("NonZero", [made["mask"]], [made["at"]]),
            N("Transpose", [made["at"]], [made["rows"]], perm=[1, 0]),
            N("GatherND", [made["row"], made["rows"]], [made["some"]]),
            N("Shape", [made["some"]], [made["shape"]]),
            N("Concat", [made["shape"], "most"], [f"both{c}"], axis=0),
            N("ReduceMin", [f"both{c}", "axis"], [made["k"]], keepdims=1),
            N("TopK", [made["some"], made["k"]], [f"best{c}", f"places{c}"]),
            N("Expand", [f"name{c}", made["k"]], [f"label{c}"]),
        ]
    for name in ("best", "label"):
        nodes.append(N("Concat", [f"{name}{c}" for c in range(3)], [name], axis=0))
    nodes += [N("Cast", ["label"], ["as_float"], to=1), N("Mul", ["as_float", "best"], ["y"])]
    constants = {"zero": np.float32(0), "most": integers(most), "axis": integers(0)}
    constants |= {f"class{c}": np.array(c) for c in range(3)}
    constants |= {f"name{c}": integers(c + 1) for c in range(3)}
    outputs = {"label": "int64", "y": "float32"}
    return opened(nodes, {"x": ((3, places), "float32")}, outputs, constants)


@pytest.mark.parametrize(("most", "places"), [(5, 12), (3, 9), (20, 60)])
def test_the_best_so_many_of_each_class(most: int, places: int) -> None:
    """Many choices of all sizes have kernels for each class."""
    runs: list[tuple[dict[str, int], Arrays]] = [
        ({}, {"x": shifted((3, places), by)}) for by in (-99, -1.5, -1, 0, 99)
    ]
    (program,) = same(best_of_classes(most, places), {}, runs).variants
    total = "+".join(f"min(found_at{c},{most})" for c in range(3))
    assert [str(program.type(v)) for _, v in program.outputs] == [
        f"int64[{total}]",
        f"float32[{total}]",
    ]


def test_the_best_two_may_be_fewer() -> None:
    """The smaller of what is found and two is two wherever that is many: runs compute it."""
    runs: list[tuple[dict[str, int], Arrays]] = [
        ({}, {"x": shifted((3, 9), by)}) for by in (-99, -1.5, 99)
    ]
    (program,) = same(best_of_classes(2, 9), {}, runs).variants
    assert program.refuses == ()


def detector(*names: str, center: int = 0) -> onnx.ModelProto:
    """Boxes that overlap no better one of their class, and the scores of these."""
    given = [name if name in names else "" for name in ("wanted", "share", "threshold")]
    nodes = [
        N("NonMaxSuppression", ["boxes", "scores", *given], ["kept"], center_point_box=center),
        N("GatherND", ["scores", "kept"], ["best"]),
    ]
    numbers = {
        "wanted": integers(5),
        "share": np.array([0.3], np.float32),
        "threshold": np.array([0.1], np.float32),
    }
    inputs = {"boxes": ((2, 40, 4), "float32"), "scores": ((2, 3, 40), "float32")}
    outputs = {"kept": "int64", "best": "float32"}
    return opened(nodes, inputs, outputs, {name: numbers[name] for name in names})


@pytest.mark.parametrize("center", [0, 1])
@pytest.mark.parametrize("names", ["wanted share threshold", "wanted share", "wanted"])
def test_boxes_that_overlap_no_better_one(names: str, center: int) -> None:
    rng = np.random.default_rng(center)
    runs: list[tuple[dict[str, int], Arrays]] = []
    for by in (0, -0.5, -5):
        boxes = rng.random((2, 40, 4), np.float32)
        scores = rng.random((2, 3, 40), np.float32) + np.float32(by)
        scores[0, 0, :6] = scores[0, 0, 7]  # of equals the first is the best
        runs.append(({}, {"boxes": boxes, "scores": scores}))
    same(detector(*names.split(), center=center), {}, runs)


@pytest.mark.parametrize(
    ("op", "oldest"), [("NonZero", 9), ("Compress", 9), ("NonMaxSuppression", 10)]
)
def test_finders_of_the_oldest_sets(op: str, oldest: int) -> None:
    """What they are spelled by may be newer than the model's operators."""
    if op == "NonMaxSuppression":
        proto, boxes = detector("wanted", "share"), np.random.default_rng(0)
        inputs = {"boxes": boxes.random((2, 40, 4), np.float32)}
        inputs["scores"] = boxes.random((2, 3, 40), np.float32)
        del proto.graph.node[1:], proto.graph.output[1:]
    else:
        given = ["x", "c"] if op == "Compress" else ["x"]
        shapes = {"x": ((4, 3), "float32"), "c": ((4,), "bool")}
        axis = {"axis": 0} if op == "Compress" else {}
        proto = opened(
            [N(op, given, ["y"], **axis)],
            {name: shapes[name] for name in given},
            {"y": "float32" if op == "Compress" else "int64"},
        )
        every = {"x": shifted((4, 3), -1), "c": np.array([True, False, True, False])}
        inputs = {name: every[name] for name in given}
    proto.opset_import[0].version = oldest
    same(proto, {}, [({}, inputs)])


@pytest.mark.parametrize("wanted", [0, 1, 16, 17, 200])
def test_many_boxes_are_kept_in_the_order_of_their_scores(wanted: int) -> None:
    """More than a block of those that a box is compared with, ties, and boxes that are points."""
    rng = np.random.default_rng(wanted)
    nodes = [N("NonMaxSuppression", ["boxes", "scores", "wanted", "share"], ["kept"])]
    numbers = {"wanted": integers(wanted), "share": np.array([0.4], np.float32)}
    inputs = {"boxes": ((1, 200, 4), "float32"), "scores": ((1, 2, 200), "float32")}
    runs: list[tuple[dict[str, int], Arrays]] = []
    for grid in (4, 32, 1000):
        boxes = np.round(rng.random((1, 200, 4), np.float32) * grid) / np.float32(grid)
        scores = np.round(rng.random((1, 2, 200), np.float32) * 50) - 25
        runs.append(({}, {"boxes": boxes, "scores": scores.astype(np.float32)}))
    same(opened(nodes, inputs, {"kept": "int64"}, numbers), {}, runs)


def test_a_search_in_what_is_known_finds_no_size() -> None:
    nodes = [N("NonZero", ["c"], ["i"]), N("Gather", ["x", "i"], ["y"])]
    proto = opened(nodes, {"x": ((4,), "float32")}, {"y": "float32"}, {"c": integers(0, 3, 1, 0)})
    entry = import_entry(proto, TARGET)
    assert not entry.variants[0].symbols
    assert str(import_model(proto, TARGET)) == str(entry.variants[0])


def test_boxes_of_which_none_are_wanted() -> None:
    """As many as the standard says where nothing is said."""
    (program,) = import_entry(detector("share"), TARGET, {}).variants
    assert [str(program.type(v)) for _, v in program.outputs] == ["int64[0,3]", "float32[0]"]


def test_a_number_without_dimensions_is_a_list_of_one() -> None:
    """As in ONNX Runtime; the standard's text asks for no row at all."""
    nodes = [
        N("ReduceMax", ["x"], ["most"], keepdims=0),
        N("NonZero", ["most"], ["places"]),
        N("Shape", ["places"], ["shape"]),
    ]
    proto = opened(nodes, {"x": (("b", 3), "int64")}, {"places": "int64", "shape": "int64"})
    runs = [({"b": b}, {"x": np.full((b, 3), of)}) for b in (1, 4) for of in (0, -2)]
    same(proto, {"b": "1..4"}, runs)
    same(opened(nodes[1:], {"most": ((), "float32")}, {"places": "int64"}), {}, [
        ({}, {"most": np.array(of, np.float32)}) for of in (0, 3, np.nan)
    ])  # fmt: skip


def refused(
    proto: onnx.ModelProto, shapes: Shapes, kind: type[ModelError] = UnsupportedOperator
) -> str:
    with pytest.raises(kind) as error:
        import_entry(proto, TARGET, shapes)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_refusals() -> None:
    search = N("NonZero", ["x"], ["y"], name="search")
    huge = opened([search], {"x": ((5000, 1000), "float32")}, {"y": "int64"})
    assert "it may find as many as 5000000, and 4194304 are supported" in refused(huge, {})
    many = [N("NonZero", [f"x{i}"], [f"y{i}"]) for i in range(65)]
    inputs = {f"x{i}": ((4,), "float32") for i in range(65)}
    over = opened(many, inputs, {f"y{i}": "int64" for i in range(65)})
    assert "more than 64 sizes that runs find" in refused(over, {})
    wrong = opened(
        [N("Compress", ["x", "c"], ["y"], axis=2)],
        {"x": ((4, 3), "float32"), "c": ((3,), "bool")},
        {"y": "float32"},
    )
    assert "the axis 2 is outside of 2 dimensions" in refused(wrong, {}, ModelError)
    with pytest.raises(UnsupportedOperator, match=r"a run finds some: found_places=0\.\.42"):
        import_model(above(), TARGET, {"x": (7, 6)})
