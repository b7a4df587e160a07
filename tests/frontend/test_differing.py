"""Results that are larger in one branch than in the other: how large they are, the run finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from decided_models import declared, ended, found, refused, same
from onnx import helper
from onnx_models import floats
from sized_models import integers, opened

import luthier
from luthier.frontend.program import Branch

N = helper.make_node
HEAD = '<ir_version: 8, opset_import: ["": 18]>\n'


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(HEAD + text)


FEWER = """small (bool c, float[4,6] x) => (float[n,m] y, float[p,m] z) {
  y, z = If (c) <
    then_branch = t () => (float[n,m] a, float[n,m] b) {
      begin = Constant <value = int64[2] {0, 1}> ()
      end = Constant <value = int64[2] {2, 4}> ()
      a = Slice (x, begin, end)
      b = Exp (x)
    },
    else_branch = e () => (float[n,m] d, float[n,m] f) {
      d = Neg (x)
      f = Identity (x)
    }>
}"""
BOTH = [{"c": np.array(c), "x": floats(4, 6)} for c in (True, False)]


def test_fewer_rows_and_columns() -> None:
    entry = same(parsed(FEWER), BOTH)
    (program,) = entry.variants
    assert [str(s) for s in program.symbols] == ["found_y_0=0..8", "found_y_1=0..8"]
    assert [found(entry, run) for run in BOTH] == [[2, 3], [4, 6]]


def test_a_declared_shape_is_asked_for() -> None:
    entry = same(declared(parsed(FEWER), y=(2, 3)), BOTH[:1])
    assert not entry.variants[0].symbols
    assert ended(entry, BOTH[1]) == "If 'y': the sizes of its result are [4, 6], not [2, 3]"


def test_nothing_in_one_branch() -> None:
    text = """small (bool c, float[4,6] x) => (float[n,6] y, float[n] s) {
      r = If (c) <
        then_branch = t () => (float[n,6] a) {
          none = Constant <value = int64[1] {0}> ()
          a = Slice (x, none, none)
        },
        else_branch = e () => (float[n,6] b) { b = Abs (x) }>
      y = Neg (r)
      one = Constant <value = int64[1] {1}> ()
      s = ReduceSum <keepdims = 0> (r, one)
    }"""
    same(parsed(text), BOTH)


def test_keys_that_one_branch_leaves_to_who_has_them() -> None:
    """As merged decoders do: nothing where there is a past, of a batch of one."""
    text = """small (bool c, float[batch,2,5,8] x) => (float[n,2,m,8] y) {
      y = If (c) <
        then_branch = t () => (float[n,2,m,8] a) {
          shape = Constant <value = int64[4] {1, 2, 0, 8}> ()
          a = ConstantOfShape (shape)
        },
        else_branch = e () => (float[n,2,m,8] b) { b = Neg (x) }>
    }"""
    runs = [
        {"c": np.array(c), "x": floats(batch, 2, 5, 8)}
        for batch in (1, 2, 9)
        for c in (True, False)
    ]
    entry = same(parsed(text), runs, shapes={"batch": "1..9"})
    assert [str(program.symbols[0]) for program in entry.variants] == ["batch=2..9", "batch=1..1"]


def test_where_the_input_has_any_number_of_rows() -> None:
    text = """small (bool c, float[rows,6] x) => (float[n,6] y) {
      r = If (c) <
        then_branch = t () => (float[n,6] a) {
          none = Constant <value = int64[1] {0}> ()
          two = Constant <value = int64[1] {2}> ()
          a = Slice (x, none, two)
        },
        else_branch = e () => (float[n,6] b) { b = Concat <axis = 0> (x, x) }>
      y = Exp (r)
    }"""
    runs = [{"x": floats(rows, 6), "c": np.array(c)} for rows in (2, 3, 9) for c in (True, False)]
    same(parsed(text), runs, shapes={"rows": "2..9"})


def test_tensors_of_sequences() -> None:
    text = """small (bool c, float[4,6] x) => (float[n,6] y, float[m,6] z) {
      zero = Constant <value = int64 {0}> ()
      last = Constant <value = int64 {-1}> ()
      two = Constant <value = int64 {2}> ()
      three = Constant <value = int64 {3}> ()
      s = If (c) <
        then_branch = t () => (seq(float[n,6]) a) { a = SplitToSequence <axis = 0> (x, two) },
        else_branch = e () => (seq(float[n,6]) b) { b = SplitToSequence <axis = 0> (x, three) }>
      y = SequenceAt (s, zero)
      z = SequenceAt (s, last)
    }"""
    same(parsed(text), BOTH)


def test_other_ranks_and_types_are_refused() -> None:
    for kind, said in (
        ("Flatten (x)", ""),
        ("Shape (x)", "int64[2] in one branch and float32[4,6] in the other"),
    ):
        text = f"""small (bool c, float[4,6] x) => (float[n,m] y) {{
          y = If (c) <
            then_branch = t () => (float[n,m] a) {{ a = {kind} }},
            else_branch = e () => (float[n,m] b) {{ b = Abs (x) }}>
        }}"""
        if said:
            assert said in refused(parsed(text))
        else:
            same(parsed(text), BOTH)


def test_a_library_does_it(tmp_path: Path) -> None:
    luthier.build(parsed(FEWER), tmp_path / "built", log=None)
    with luthier.load(tmp_path / "built") as library:
        for run in (BOTH[0], BOTH[1], BOTH[0]):
            y, z = (library.run(run)[name] for name in "yz")
            x = run["x"]
            np.testing.assert_array_equal(y, x[:2, 1:4] if run["c"] else -x)
            np.testing.assert_allclose(z, np.exp(x) if run["c"] else x, 1e-5)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceL2"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_along_axes_that_a_run_is_given(op: str, keepdims: int) -> None:
    nodes = [N(op, ["x", "axes"], ["z"], keepdims=keepdims), N("Neg", ["z"], ["y"])]
    inputs = {"x": ((3, 1, 5), "float32"), "axes": ((1,), "int64")}
    proto = opened(nodes, inputs, {"y": "float32"})
    entry = same(proto, [{"x": floats(3, 1, 5), "axes": integers(a)} for a in (0, 1, 2, -1, -3)])
    assert any(isinstance(step, Branch) for step in entry.variants[0].steps)
    assert "[0], not [1]" in ended(entry, {"x": floats(3, 1, 5), "axes": integers(3)})


def test_reductions_along_two_axes() -> None:
    nodes = [N("ReduceMean", ["x", "axes"], ["y"], keepdims=0)]
    inputs = {"x": ((3, 2, 5), "float32"), "axes": ((2,), "int64")}
    proto = opened(nodes, inputs, {"y": "float32"})
    runs = [{"x": floats(3, 2, 5), "axes": integers(*a)} for a in ((0, 1), (2, 0), (-1, 1))]
    same(proto, runs)


def test_iterations_that_find_sizes_of_their_own() -> None:
    """As many rows of a table as each pair of offsets says, of which a sum is kept."""
    text = """small (int64[4] offsets, float[9,3] x) => (float[3,3] y) {
      count = Constant <value = int64 {3}> ()
      goes = Constant <value = bool {1}> ()
      y = Loop (count, goes) <
        body = b (int64 i, bool c) => (bool d, float[3] z) {
          d = Identity (c)
          one = Constant <value = int64[1] {1}> ()
          zero = Constant <value = int64[1] {0}> ()
          place = Unsqueeze (i, zero)
          after = Add (place, one)
          begin = Gather <axis = 0> (offsets, place)
          end = Gather <axis = 0> (offsets, after)
          rows = Slice (x, begin, end, zero)
          z = ReduceSum <keepdims = 0> (rows, zero)
        }>
    }"""
    runs = [
        {"offsets": integers(*each), "x": floats(9, 3)}
        for each in ((0, 2, 5, 9), (0, 0, 9, 9), (1, 2, 3, 4))
    ]
    same(parsed(text), runs)


@pytest.mark.parametrize("first", ["NonZero", "Expand"])
def test_what_counts_the_same_truths_is_one_size(first: str) -> None:
    """As exporters spell ``x[x > 0] * 7``, the count before the places or after."""
    found_ = [N("NonZero", ["mask"], ["places"]), N("Transpose", ["places"], ["rows"], perm=[1, 0])]
    counted = [
        N("Reshape", ["mask", "all"], ["flat"]),
        N("Cast", ["flat"], ["ones"], to=7),
        N("ReduceSum", ["ones"], ["count"], keepdims=1),
        N("Expand", ["seven", "count"], ["updates"]),
    ]
    both = [*found_, *counted] if first == "NonZero" else [*counted, *found_]
    nodes = [
        N("Greater", ["x", "zero"], ["mask"]), *both,
        N("GatherND", ["x", "rows"], ["some"]), N("Mul", ["some", "updates"], ["scaled"]),
        N("ReduceSum", ["scaled"], ["y"], keepdims=0),
    ]  # fmt: skip
    constants = {"zero": np.float32(0), "all": integers(-1), "seven": np.float32(7)}
    proto = opened(nodes, {"x": ((4, 5), "float32")}, {"y": "float32"}, constants)
    bounds = None if first == "NonZero" else {"found_updates": 20}
    runs = [{"x": floats(4, 5)}, {"x": -np.abs(floats(4, 5))}, {"x": np.abs(floats(4, 5))}]
    entry = same(proto, runs, bounds)
    assert len(entry.variants[0].symbols) == 1


def test_rows_of_truths_that_are_spread() -> None:
    """As exporters spell ``x[rows]`` for rows that are chosen."""
    nodes = [
        N("Reshape", ["chosen", "column"], ["wide"]),
        N("Expand", ["wide", "shape"], ["mask"]),
        N("NonZero", ["mask"], ["places"]),
        N("Transpose", ["places"], ["rows"], perm=[1, 0]),
        N("GatherND", ["x", "rows"], ["taken"]),
        N("Reshape", ["taken", "back"], ["y"]),
    ]
    constants = {"column": integers(4, 1), "shape": integers(4, 3), "back": integers(-1, 3)}
    inputs = {"chosen": ((4,), "bool"), "x": ((4, 3), "float32")}
    proto = opened(nodes, inputs, {"y": "float32"}, constants)
    runs = [
        {"chosen": np.array(each, bool), "x": floats(4, 3)}
        for each in ([1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1])
    ]
    same(proto, runs)


def test_a_branch_that_a_found_size_decides_finds_more() -> None:
    """As detectors spell it: no boxes, or those that non-maximum suppression leaves."""
    text = """small (float[1,9,4] boxes, float[1,1,9] scores) => (int64[n] y) {
      least = Constant <value = float {0.5}> ()
      zero = Constant <value = int64[1] {0}> ()
      all = Constant <value = int64[1] {-1}> ()
      nine = Constant <value = int64[1] {9}> ()
      flat = Reshape (scores, nine)
      high = Greater (flat, least)
      places = NonZero (high)
      few = Reshape (places, all)
      count = Shape (few)
      none = Equal (count, zero)
      scalar = Squeeze (none)
      y = If (scalar) <
        then_branch = t () => (int64[n] a) { a = ConstantOfShape <value = int64[1] {0}> (zero) },
        else_branch = e () => (int64[n] b) {
          some = Gather <axis = 1> (boxes, few)
          own = Gather <axis = 2> (scores, few)
          most = Constant <value = int64[1] {5}> ()
          overlap = Constant <value = float[1] {0.3}> ()
          kept = NonMaxSuppression (some, own, most, overlap)
          column = Constant <value = int64 {2}> ()
          b = Gather <axis = 1> (kept, column)
        }>
    }"""
    boxes = np.abs(floats(1, 9, 4))
    boxes[..., 2:] += boxes[..., :2]
    scores = np.random.default_rng(1).random((1, 1, 9), np.float32)
    runs = [{"boxes": boxes, "scores": each} for each in (scores, scores * 0.1, scores + 0.5)]
    same(parsed(text), runs)


@pytest.mark.parametrize("steps", [None, 1])
def test_a_slice_of_all_that_was_found_is_as_long(steps: int | None) -> None:
    """As exporters spell ``found[:]``."""
    more = [] if steps is None else ["one"]
    nodes = [
        N("Greater", ["x", "zero"], ["mask"]), N("NonZero", ["mask"], ["places"]),
        N("Transpose", ["places"], ["rows"], perm=[1, 0]),
        N("Slice", ["rows", "first", "end", "first", *more], ["all"]),
        N("GatherND", ["x", "all"], ["y"]),
    ]  # fmt: skip
    end = integers(np.iinfo(np.int64).max)
    constants = {"zero": np.float32(0), "first": integers(0), "end": end, "one": integers(1)}
    proto = opened(nodes, {"x": ((4, 5), "float32")}, {"y": "float32"}, constants)
    entry = same(proto, [{"x": floats(4, 5)}, {"x": -np.abs(floats(4, 5))}])
    assert len(entry.variants[0].symbols) == 1
