"""What loops keep of as many iterations as a run decides, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from decided_models import ended, found, refused, same
from onnx_models import floats

COUNTED = """small (int64 n, float[3] x) => (float[rows,3] y, float[3] last, int64[rows] z) {
  last, y, z = Loop <body = b (int64 i, bool c, float[3] v)
      => (bool on, float[3] w, float[3] kept, int64 j) {
    on = Identity (c)
    w = Add (v, v)
    kept = Neg (v)
    j = Add (i, i)
  }> (n, "", x)
}"""
BEGUN = COUNTED.replace("int64 n,", "int64 n, bool go,").replace('(n, "", x)', "(n, go, x)")
ENDED = BEGUN.replace("on = Identity (c)", "s = ReduceSum <keepdims = 0> (v) on = Less (s, most)")
ENDED = ENDED.replace("float[3] x)", "float[3] x, float most)", 1)
ENDLESS = ENDED.replace("(n, go, x)", '("", go, x)').replace("int64 n, ", "")


def parsed(text: str, rows: int | None = None) -> onnx.ModelProto:
    """The model of a graph's text, with so many rows declared."""
    fixed = text if rows is None else text.replace("[rows,3]", f"[{rows},3]", 1)
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> {fixed}')


def given(
    n: int | None = None, go: bool | None = None, most: float | None = None
) -> dict[str, Any]:
    values = {"n": n, "go": go, "most": None if most is None else np.float32(most)}
    return {"x": np.full(3, 0.5, np.float32), **{k: v for k, v in values.items() if v is not None}}


def test_as_many_iterations_as_a_run_is_given() -> None:
    runs = [given(n) for n in (0, 1, 2, 7, 12, -3)]
    entry = same(parsed(COUNTED), runs[:-1], {"found_y": 12})
    assert found(entry, runs[-1]) == [0]
    assert found(entry, given(13)) == [13]  # which ends a run
    (program,) = entry.variants
    types = [str(program.type(value)) for _, value in program.outputs]
    assert types == ["float32[found_y,3]", "float32[3]", "int64[found_y]"]


def test_a_number_of_rows_that_is_declared() -> None:
    entry = same(parsed(COUNTED, 4), [given(4)])
    assert "of each of which it keeps a row, are 5, not 4" in ended(entry, given(5))
    entry = same(parsed(ENDED, 2), [given(9, True, 2)])
    assert "whether it keeps more than 2 rows: 1, not 0" in ended(entry, given(9, True, 99))
    assert "are 1, not 2" in ended(entry, given(9, True, 0))


def test_a_condition_that_says_whether_it_begins() -> None:
    same(parsed(BEGUN), [given(n, go) for n in (0, 3, 8) for go in (True, False)], {"found_y": 9})


def test_a_condition_that_ends_it() -> None:
    runs = [given(n, go, m) for n in (0, 1, 3, 9) for go in (True, False) for m in (0, 5, 1e9)]
    entry = same(parsed(ENDED), runs, {"found_y": 9})
    assert "whether it keeps more than 9 rows" in ended(entry, given(10, True, 1e9))
    same(parsed(ENDED), [given(10, True, 5)], {"found_y": 9})
    entry = same(parsed(ENDLESS), [given(None, go, 300) for go in (True, False)], {"found_y": 9})
    assert "whether it keeps more than 9 rows" in ended(entry, given(None, True, 1e9))


def test_how_many_there_may_be_has_to_be_said() -> None:
    assert "give a bound, such as --bound found_y=1024" in refused(parsed(COUNTED))


def test_how_many_there_may_be_is_known() -> None:
    text = ENDED.replace("last, y, z =", "m = Constant <value = int64 {10}> () last, y, z =")
    text = text.replace("(n, go, x)", "(m, go, x)").replace("int64 n, ", "")
    runs = [given(None, go, most) for go in (True, False) for most in (0, 5, 1e9)]
    entry = same(parsed(text), runs)
    assert [str(size) for size in entry.variants[0].symbols] == ["found_y=0..10"]
    endless = text.replace("int64 {10}", "int64 {9223372036854775807}")
    assert "give a bound, such as --bound found_y=1024" in refused(parsed(endless))
    same(parsed(endless), runs[:2], {"found_y": 9})


def test_in_another_loop() -> None:
    text = """small (int64 n, float[3] x) => (float[3] y) {
      y = Loop <body = outer (int64 i, bool c, float[3] v) => (bool on, float[3] w) {
        on = Identity (c)
        last, rows = Loop <body = inner (int64 k, bool d, float[3] a)
            => (bool go, float[3] b, float[3] kept) {
          go = Identity (d)
          b = Add (a, x)
          kept = Neg (a)
        }> (i, "", v)
        sum = ReduceSum <keepdims = 0> (rows)
        w = Add (last, sum)
      }> (n, "", x)
    }"""
    assert "give a bound, such as --bound found_rows=1024" in refused(parsed(text), {})


SLICED = """small (int64 n, float[6] x, float[1] begin) => (float[1] last, float[rows,1] y) {
  last, y = Loop <body = b (int64 i, bool c, float[1] v) => (bool on, float[1] w, float[1] kept) {
    on = Identity (c)
    one = Constant <value = int64[1] {1}> ()
    from = Reshape (i, one)
    to = Add (from, one)
    piece = Slice (x, from, to)
    w = Add (v, piece)
    kept = Identity (w)
  }> (n, "", begin)
}"""


def test_a_slice_in_a_loop_whose_length_the_body_declares() -> None:
    runs = [{"n": n, "x": floats(6), "begin": floats(1, seed=2)} for n in (1, 4, 6)]
    entry = same(parsed(SLICED), runs, {"found_y": 8})
    assert "it takes so many elements" in ended(entry, {**runs[0], "n": 7})


@pytest.mark.parametrize("dtype", ["float", "int64", "float16"])
def test_a_range_that_is_spelled_by_a_loop(dtype: str) -> None:
    text = f"""small ({dtype} start, {dtype} limit, {dtype} delta) => ({dtype}[k] y) {{
      d = Sub (limit, start)
      df = Cast <to = 1> (d)
      sf = Cast <to = 1> (delta)
      q = Div (df, sf)
      u = Ceil (q)
      r = Relu (u)
      n = Cast <to = 7> (r)
      last, y = Loop <body = b (int64 i, bool c, {dtype} v) => (bool on, {dtype} w, {dtype} o) {{
        on = Identity (c)
        w = Add (v, delta)
        o = Identity (v)
      }}> (n, "", start)
    }}"""
    kind = {"float": "float32"}.get(dtype, dtype)
    each = [(1, 9, 2), (5, 5, 1), (9, -7, -3), (0, 1, 1), (3, 0, 1)]
    runs = [
        dict(zip(("start", "limit", "delta"), map(np.dtype(kind).type, e), strict=True))
        for e in each
    ]
    same(parsed(text), runs, {"found_y": 20})
