"""Loops over bags of rows, each from one offset to the next, as exporters of PyTorch write
``EmbeddingBag``, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import floats
from test_found_inside import same

from luthier.frontend.control.found_sizes import FoundSizes

# What torch's older exporter writes: a row of each iteration.
ROWS = """bags (int64[n] ids, int64[bags] offsets, float[n] weights, float[9,3] table)
    => (float[k,3] y) {
  length = Shape (ids)
  ends = Concat <axis = 0> (offsets, length)
  count = Size (offsets)
  none = Constant <value = int64[1] {0}> ()
  one = Constant <value = int64 {1}> ()
  column = Constant <value = int64[1] {1}> ()
  y = Loop <body = b (int64 i, bool c) => (bool on, float[3] kept) {
    on = Identity (c)
    after = Add (i, one)
    first = Gather (ends, i)
    last = Gather (ends, after)
    start = Unsqueeze (first, none)
    end = Unsqueeze (last, none)
    some = Slice (ids, start, end, none)
    rows = Gather (table, some)
    shares = Slice (weights, start, end, none)
    each = Unsqueeze (shares, column)
    shared = Mul (rows, each)
    kept = ReduceSum <keepdims = 0> (shared, none)
  }> (count, "")
}"""

# What dynamo's writes: rows of a sequence, as long as a counter is below a number.
WHILE = """bags (int64[n] ids, int64[bags] offsets, float[n] weights, float[9,3] table)
    => (float[k,3] y) {
  length = Shape (ids)
  ends = Concat <axis = 0> (offsets, length)
  count = Size (offsets)
  none = Constant <value = int64[1] {0}> ()
  minus = Constant <value = int64[1] {-1}> ()
  zero = Constant <value = int64 {0}> ()
  one = Constant <value = int64 {1}> ()
  two = Constant <value = int64 {2}> ()
  column = Constant <value = int64[1] {1}> ()
  looked = Gather (table, ids)
  shares = Unsqueeze (weights, column)
  rows = Mul (looked, shares)
  begun = SequenceEmpty ()
  begins = Less (zero, count)
  all, counted = Loop <body = b (int64 i, bool c, seq(float) before, int64 k)
      => (bool goes, seq(float) longer, int64 more) {
    place = Reshape (k, minus)
    one_like = CastLike (one, place)
    two_like = CastLike (two, place)
    second = Add (place, one_like)
    third = Add (place, two_like)
    start = Slice (ends, place, second)
    end = Slice (ends, second, third)
    is_empty = Equal (start, end)
    row = If (is_empty) <then_branch = nothing () => (float[1,3] zeros) {
      zeros = Constant <value = float[1,3] {0.0, 0.0, 0.0}> ()
    }, else_branch = sums () => (float[u,v] sum) {
      last = Sub (count, one)
      is_last = Equal (k, last)
      some = If (is_last) <then_branch = rest () => (float[p,q] left) {
        left = Slice (rows, start, length)
      }, else_branch = part () => (float[r,s] bag) {
        bag = Slice (rows, start, end)
      }>
      sum = REDUCE
    }>
    longer = SequenceInsert (before, row)
    more = Add (k, one)
    goes = Less (more, count)
  }> ("", begins, begun, zero)
  y = ConcatFromSequence <axis = 0> (all)
}"""
REDUCED = {
    "sum": "ReduceSum (some, none)",
    "max": "ReduceMax <axes = [0]> (some)",
    "mean": "ReduceMean <axes = [0]> (some)",
}


def bag(n: int, *offsets: int) -> dict[str, Any]:
    ids = np.random.default_rng(n).integers(0, 9, n)
    return {
        "ids": ids,
        "offsets": np.array(offsets),
        "weights": floats(n, seed=n),
        "table": floats(9, 3, seed=1),
    }


def test_slices_of_two_lists_from_one_start_to_one_end(tmp_path: Path) -> None:
    """They are as long, and so one size is found."""
    shapes = {"n": range(2, 20), "bags": range(2, 6)}
    runs = [bag(8, 0, 3), bag(19, 0, 1, 7, 12, 18), bag(5, 0, 0, 5), bag(2, 0, 1)]
    sizes = same(tmp_path / "s", ROWS, runs, shapes=shapes)
    assert [size for size in sizes if size.startswith("found")] == ["found_some=0..19"]


def test_bags_that_are_written_out(tmp_path: Path) -> None:
    """A size for each; that two are as large changes nothing."""
    runs = [bag(8, 0, 3), bag(8, 0, 4), bag(8, 0, 8), bag(8, 0, 0)]
    sizes = same(tmp_path / "s", ROWS, runs, shapes={"n": 8, "bags": 2})
    assert sizes == ["found_some=0..8", "found_some_0=0..8"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", REDUCED)
def test_while_a_counter_is_below_a_number(tmp_path: Path, mode: str) -> None:
    """No bound of how many there are is needed, and a slice of one offset is one."""
    text = WHILE.replace("REDUCE", REDUCED[mode])
    shapes = {"n": range(2, 20), "bags": range(2, 6)}
    runs = [bag(8, 0, 3), bag(19, 0, 1, 7, 12, 18), bag(5, 0, 0, 4), bag(2, 0, 1)]
    same(tmp_path / "s", text, runs, shapes=shapes)


def test_slices_of_lists_that_are_as_long_by_chance(tmp_path: Path) -> None:
    """Each has a size of its own, at sizes for which both lists are as long, too."""
    text = """lists (float[6] x, float[6] y, int64[1] first, int64[1] last)
        => (float[k] a, float[m] b) {
      zero = Constant <value = int64[1] {0}> ()
      p = NonZero (x)
      q = NonZero (y)
      i = Squeeze (p, zero)
      j = Squeeze (q, zero)
      u = Gather (x, i)
      v = Gather (y, j)
      a = Slice (u, first, last, zero)
      b = Slice (v, first, last, zero)
    }"""

    def lists(ours: int, theirs: int, first: int, last: int) -> dict[str, Any]:
        x, y = (np.where(np.arange(6) < n, floats(6, seed=n + 7), 0) for n in (ours, theirs))
        ends = {name: np.array([n]) for name, n in (("first", first), ("last", last))}
        return {"x": x.astype(np.float32), "y": y.astype(np.float32), **ends}

    runs = [lists(4, 2, 0, 3), lists(3, 3, 1, 9), lists(0, 2, 0, 2), lists(1, 1, -1, 6)]
    sizes = same(tmp_path / "s", text, runs)
    names = [size.split("=")[0] for size in sizes if size.startswith("found")]
    assert sorted(names) == ["found_a", "found_b", "found_p", "found_q"]


def test_lists_are_as_long_where_they_are_in_all_imports() -> None:
    alike = dict[tuple[str, str], bool]()

    def firsts(**lengths: int) -> list[str]:
        met = FoundSizes(alike=alike)
        return [met.as_long("slice from 0 to 3", name, n) for name, n in lengths.items()]

    assert firsts(a=4, b=4, c=4) == ["a", "a", "a"]
    assert firsts(a=4, b=5, c=4) == ["a", "b", "a"]
    assert firsts(a=4, b=4, c=4) == ["a", "b", "a"]
