"""Sizes that are found in each iteration of a loop, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx_models import TARGET, expected, floats

from luthier.deploy import load
from luthier.deploy.building import build
from luthier.frontend import Bounds, Library, Shapes, import_entry, read_model
from luthier.schedules import InputError, UnsupportedOperator, target

HOST = target.host(threads=1)
Arrays = Mapping[str, Any]

POSITIVE = """
    row = Gather <axis = 0> (x, i)
    zero = Constant <value = float {0.0}> ()
    mask = Greater (row, zero)
    places = NonZero (mask)
    turned = Transpose (places)
    some = GatherND (row, turned)
"""


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}')


def over_rows(body: str, inputs: str, row: str, given: str = "") -> str:
    """A loop that runs as often as a run says and keeps ``kept`` of each iteration."""
    return f"""small (int64 n, float[5,7] x{inputs}) => (float[k{row}] y) {{
      y = Loop <body = b (int64 i, bool c) => (bool on, float{_listed(row)} kept) {{
        on = Identity (c)
        {body}
      }}> (n, "")
      {given}
    }}"""


def _listed(row: str) -> str:
    return f"[{row[1:]}]" if row else ""


def same(
    folder: Path,
    text: str,
    runs: Sequence[Arrays],
    bounds: Bounds | None = None,
    shapes: Shapes | None = None,
) -> list[str]:
    """The sizes of a library, which gives what the model does."""
    proto = parsed(text)
    entry = import_entry(read_model(proto, shapes, bounds=bounds), HOST)
    build(Library("small", {"run": entry}), folder, HOST, {})
    with load(folder) as artifact:
        for given in runs:
            inputs = {name: np.asarray(array) for name, array in given.items()}
            ours, wanted = artifact.run(inputs), expected(proto, inputs)
            for name, array in wanted.items():
                assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape)
                np.testing.assert_allclose(ours[name], array, 1e-5, 1e-6, err_msg=f"{given}")
    return [str(size) for size in entry.variants[0].symbols]


def ended(folder: Path, inputs: Arrays) -> str:
    """What a run says that these end."""
    with load(folder) as artifact, pytest.raises(InputError) as error:
        artifact.run({name: np.asarray(array) for name, array in inputs.items()})
    return str(error.value)


def refused(text: str, bounds: Bounds | None = None, shapes: Shapes | None = None) -> str:
    with pytest.raises(UnsupportedOperator) as error:
        import_entry(read_model(parsed(text), shapes, bounds=bounds), TARGET)
    assert "\n" not in str(error.value)
    return str(error.value)


def rows(n: int = 5, seed: int = 0, plus: float = 0) -> dict[str, Any]:
    return {"n": n, "x": floats(5, 7, seed=seed) + np.float32(plus)}


# None of them, all of them, some; no iteration, one, and more.
RUNS = [rows(0), rows(1), rows(5), rows(4, 1), rows(3, plus=9), rows(5, plus=-9)]


def test_a_search_in_each_iteration(tmp_path: Path) -> None:
    text = over_rows(POSITIVE + "kept = ReduceSum <keepdims = 0> (some)", "", "")
    sizes = same(tmp_path / "s", text, RUNS, {"found_y": 5})
    assert sizes == ["found_places=0..8", "found_y=0..8"]
    assert "'found_y' is 9, not in 0..8" in ended(tmp_path / "s", {**rows(), "n": 9})


@pytest.mark.parametrize(
    "search",
    [
        "some = Compress <axis = 0> (row, mask)",
        "some, p, q, t = Unique <sorted = 1> (row)",
        "count = Cast <to = 7> (mask) total = ReduceSum <keepdims = 1> (count) "
        "some, where = TopK (row, total)",
        "start = Constant <value = int64[1] {0}> () count = Cast <to = 7> (mask) "
        "total = ReduceSum <keepdims = 1> (count) some = Slice (row, start, total)",
    ],
    ids=["Compress", "Unique", "TopK", "Slice"],
)
def test_what_finds_sizes(tmp_path: Path, search: str) -> None:
    before = POSITIVE.split("places", maxsplit=1)[0]
    text = over_rows(before + search + " kept = ReduceSum <keepdims = 0> (some)", "", "")
    same(tmp_path / "s", text, RUNS, {"found_y": 5})


PADDED = """
    row = Gather <axis = 0> (x, i)
    one = Constant <value = int64[1] {1}> ()
    none = Constant <value = int64[1] {0}> ()
    all = Constant <value = int64[1] {7}> ()
    length = Gather <axis = 0> (lengths, i)
    end = Reshape (length, one)
    some = Slice (row, none, end)
    rest = Sub (all, end)
"""


def given_lengths(*numbers: int) -> dict[str, Any]:
    return {**rows(len(numbers)), "lengths": np.array([*numbers, 0, 0, 0, 0, 0][:5])}


@pytest.mark.parametrize(
    "joined",
    [
        "pads = Concat <axis = 0> (none, rest) kept = Pad (some, pads)",
        "tail = ConstantOfShape (rest) kept = Concat <axis = 0> (some, tail)",
    ],
    ids=["Pad", "Concat"],
)
def test_what_is_cut_and_padded_to_what_is_declared(tmp_path: Path, joined: str) -> None:
    text = over_rows(PADDED + joined, ", int64[5] lengths", ",7")
    runs = [given_lengths(7, 0, 3), given_lengths(1), given_lengths(2, 2, 6, 7, 1)]
    same(
        tmp_path / "s",
        text,
        runs,
        {"found_y": 5, **({"found_tail": 7} if "tail" in joined else {})},
    )


RESIZED = """
    row = Gather <axis = 0> (x, i)
    shape = Constant <value = int64[4] {1, 1, 1, 7}> ()
    image = Reshape (row, shape)
    pair = Gather <axis = 0> (sizes, i)
    ones = Constant <value = int64[2] {1, 1}> ()
    size = Concat <axis = 0> (ones, pair)
    large = Resize <mode = "MODE", coordinate_transformation_mode = "half_pixel"> (image, , , size)
"""


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_a_resize_to_a_size_of_each_iteration(tmp_path: Path, mode: str) -> None:
    cut = "kept = ReduceMean <axes = [0, 1, 2, 3], keepdims = 0> (large)"
    text = over_rows(RESIZED.replace("MODE", mode) + cut, ", int64[5,2] sizes", "")
    sizes = np.array([[1, 1], [3, 9], [2, 7], [5, 4], [1, 12]])
    bounds = {"found_y": 5, "found_large_2": 5, "found_large_3": 12}
    same(tmp_path / "s", text, [{**rows(n), "sizes": sizes} for n in (0, 1, 5)], bounds)
    sizes[3] = 9, 4
    assert "'found_large_2' is 9, not in 0..8" in ended(tmp_path / "s", {**rows(), "sizes": sizes})


def test_what_is_appended_to_what_has_a_known_size(tmp_path: Path) -> None:
    """As torchvision's masks are: resized, cut, and appended to images of one size."""
    text = """small (int64 n, float[5,7] x, int64[5,2] sizes, float[0,3,4] none)
        => (float[k,3,4] y) {
      y = Loop <body = b (int64 i, bool c, float[p,3,4] h) => (bool on, float[q,3,4] more) {
        on = Identity (c)
        RESIZED
        starts = Constant <value = int64[2] {0, 0}> ()
        ends = Constant <value = int64[2] {3, 4}> ()
        axes = Constant <value = int64[2] {2, 3}> ()
        part = Slice (large, starts, ends, axes)
        first = Constant <value = int64[1] {0}> ()
        image3 = Squeeze (part, first)
        more = Concat <axis = 0> (h, image3)
      }> (n, "", none)
    }""".replace("RESIZED", RESIZED.replace("MODE", "linear"))
    sizes = np.array([[3, 4], [5, 9], [3, 7], [5, 4], [4, 12]])
    given = {"sizes": sizes, "none": np.zeros((0, 3, 4), np.float32)}
    bounds = {"found_y": 5, "found_large_2": 5, "found_large_3": 12}
    same(tmp_path / "s", text, [{**rows(n), **given} for n in (0, 1, 5)], bounds)
    sizes[2] = 2, 7
    assert "it takes so many elements: [2, 4], not [3, 4]" in ended(
        tmp_path / "s", {**rows(), **given}
    )


INNER = """
    count = Size (some)
    kept = Loop <body = inner (int64 j, bool d, float sum) => (bool go, float larger) {
      go = Identity (d)
      each = Gather <axis = 0> (some, j)
      less = Greater (row, each)
      there = NonZero (less)
      those = Transpose (there)
      others = GatherND (row, those)
      all = ReduceSum <keepdims = 0> (others)
      larger = Add (sum, all)
    }> (count, "", zero)
"""


def test_a_loop_over_what_an_iteration_finds(tmp_path: Path) -> None:
    sizes = same(tmp_path / "s", over_rows(POSITIVE + INNER, "", ""), RUNS, {"found_y": 5})
    assert sizes == ["found_places=0..8", "found_there=0..8", "found_y=0..8"]


def test_branches_in_a_loop(tmp_path: Path) -> None:
    choice = """
        row = Gather <axis = 0> (x, i)
        zero = Constant <value = float {0.0}> ()
        total = ReduceSum <keepdims = 0> (row)
        large = Greater (total, zero)
        kept = If (large) <then_branch = many () => (float one) {
          mask = Greater (row, zero)
          some = Compress <axis = 0> (row, mask)
          one = ReduceSum <keepdims = 0> (some)
        }, else_branch = few () => (float two) {
          below = Less (row, total)
          others = Compress <axis = 0> (row, below)
          two = ReduceProd <keepdims = 0> (others)
        }>"""
    same(tmp_path / "s", over_rows(choice, "", ""), RUNS, {"found_y": 5})


def test_a_loop_in_a_branch(tmp_path: Path) -> None:
    text = f"""small (bool f, int64 n, float[5,7] x) => (float y) {{
      nothing = Constant <value = float {{0.0}}> ()
      y = If (f) <then_branch = one () => (float all) {{
        all = Loop <body = b (int64 i, bool c, float a) => (bool on, float o) {{
          on = Identity (c)
          {POSITIVE}
          sum = ReduceSum <keepdims = 0> (some)
          o = Add (a, sum)
        }}> (n, "", nothing)
      }}, else_branch = two () => (float every) {{ every = ReduceSum <keepdims = 0> (x) }}>
    }}"""
    same(tmp_path / "s", text, [{**run, "f": f} for run in RUNS for f in (True, False)])


def test_a_loop_over_what_a_run_finds(tmp_path: Path) -> None:
    """None of it ends no run."""
    text = """small (float[7] row) => (float y) {
      zero = Constant <value = float {0.0}> ()
      mask = Greater (row, zero)
      places = NonZero (mask)
      turned = Transpose (places)
      some = GatherND (row, turned)
      count = Size (some)
      y = Loop <body = b (int64 j, bool c, float sum) => (bool on, float larger) {
        on = Identity (c)
        each = Gather <axis = 0> (some, j)
        larger = Add (sum, each)
      }> (count, "", zero)
    }"""
    runs = [{"row": np.arange(7, dtype=np.float32) - k} for k in (0, 5, 6, 7)]
    same(tmp_path / "s", text, runs)


def test_sizes_that_are_given_beside(tmp_path: Path) -> None:
    text = over_rows(POSITIVE + "kept = ReduceMax <keepdims = 0> (some2)", "", "")
    text = text.replace("some2", "with").replace(
        "kept =",
        "one = Constant <value = float[1] {-9.0}> () with = Concat <axis = 0> (some, one) kept =",
    )
    text = text.replace("float[5,7] x", "float[rows,width] x")
    runs = [{**run, "x": run["x"][: max(run["n"], 1), :w]} for run in RUNS for w in (1, 4, 7)]
    shapes = {"rows": range(1, 6), "width": range(1, 8)}
    same(tmp_path / "s", text, runs, {"found_y": 5}, shapes)


def test_what_is_refused() -> None:
    text = """small (int64 n, float[5,7] x, float[0] first) => (float[k] y) {
      y = Loop <body = b (int64 i, bool c, float[p] h) => (bool on, float[q] longer) {
        on = Identity (c)
        POSITIVE
        longer = Concat <axis = 0> (h, some)
      }> (n, "", first)
    }""".replace("POSITIVE", POSITIVE)
    assert "is longer by 'found_places' after an iteration" in refused(text, {"found_y": 35})
    assert "give bounds, such as --bound found_large_2=1024 --bound found_large_3=1024" in refused(
        over_rows(
            RESIZED.replace("MODE", "linear") + "kept = ReduceMax <keepdims = 0> (large)",
            ", int64[5,2] sizes",
            "",
        ),
        {"found_y": 5},
    )
