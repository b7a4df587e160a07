"""What loops keep of iterations that find how large it is, against ONNX Runtime: sequences of
pieces that are joined after it, and rows that are alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import floats
from test_found_inside import ended, same

from luthier.schedules import UnsupportedOperator

# Slices of rows, from one offset to the next.
SLICE = """on = Identity (c)
    after = Add (i, one)
    first = Gather (offsets, i)
    last = Gather (offsets, after)
    start = Unsqueeze (first, none)
    end = Unsqueeze (last, none)
    some = Slice (x, start, end, none)"""
FILLED = """small (int64 n, float[9,3] x, int64[6] offsets) => (float[K] y) {
  none = Constant <value = int64[1] {0}> ()
  one = Constant <value = int64 {1}> ()
  empty = SequenceEmpty ()
  all = Loop <body = b (int64 i, bool c, seq(float) before) => (bool on, seq(float) longer) {
    SLICE
    PIECE
    longer = SequenceInsert (before, piece)
  }> (n, "", empty)
  AFTER
}""".replace("SLICE", SLICE)
BOUND = {"found_all": 5}


def filled(piece: str, after: str, dims: str = "k,3") -> str:
    return FILLED.replace("PIECE", piece).replace("AFTER", after).replace("K", dims)


def cuts(*offsets: int) -> dict[str, Any]:
    return {
        "n": len(offsets) - 1,
        "x": floats(9, 3, seed=len(offsets)),
        "offsets": np.array([*offsets, 9, 9, 9, 9, 9, 9][:6]),
    }


# Few and many, none of them, the same again, one iteration.
RUNS = [cuts(0, 2, 9), cuts(0, 0, 0, 4), cuts(3, 3), cuts(0, 1, 2, 3, 4, 9), cuts(0, 9, 9, 9)]


@pytest.mark.parametrize(
    ("piece", "after", "dims"),
    [
        ("piece = Identity (some)", "y = ConcatFromSequence <axis = 0> (all)", "k,3"),
        ("piece = Mul (some, some)", "y = ConcatFromSequence <axis = -2> (all)", "k,3"),
        ("piece = Transpose (some)", "y = ConcatFromSequence <axis = 1> (all)", "3,k"),
    ],
)
def test_slices_that_are_joined(tmp_path: Path, piece: str, after: str, dims: str) -> None:
    same(tmp_path / "s", filled(piece, after, dims), RUNS, BOUND)


@pytest.mark.parametrize(
    "after",
    [
        "y = ConcatFromSequence <axis = 0, new_axis = 1> (all)",
        "y = ConcatFromSequence <axis = 1> (all)",
        "last = Constant <value = int64 {-1}> ()  y = SequenceAt (all, last)",
    ],
)
def test_what_else_is_made_of_slices_is_refused(tmp_path: Path, after: str) -> None:
    with pytest.raises(
        UnsupportedOperator, match="tensors of 'all' are as long as iterations find"
    ):
        same(tmp_path / "s", filled("piece = Identity (some)", after), RUNS, BOUND)


def test_how_many_slices_there_are(tmp_path: Path) -> None:
    after = "count = SequenceLength (all)  one_count = Unsqueeze (count, none)"
    text = filled("piece = Identity (some)", f"{after}  y = Cast <to = 1> (one_count)", "1")
    same(tmp_path / "s", text, RUNS, BOUND)


def test_more_than_the_bound_ends_a_run(tmp_path: Path) -> None:
    text = filled("piece = Identity (some)", "y = ConcatFromSequence <axis = 0> (all)")
    same(tmp_path / "s", text, RUNS[:1], {"found_all": 3, "found_all_0": 12})
    assert "found_all" in ended(tmp_path / "s", cuts(0, 9, 0, 9, 0, 9))


ALIKE = """small (int64 n, float[9,3] x, int64[6] offsets) => (float[k,m,3] y) {
  none = Constant <value = int64[1] {0}> ()
  one = Constant <value = int64 {1}> ()
  y = Loop <body = b (int64 i, bool c) => (bool on, float[r,3] some) {
    SLICE
  }> (n, "")
}""".replace("SLICE", SLICE)


def test_rows_that_are_alike(tmp_path: Path) -> None:
    runs = [cuts(0, 3, 6, 9), cuts(2, 4), cuts(0, 1, 2, 3, 4, 5), cuts(4, 4, 4)]
    same(tmp_path / "s", ALIKE, runs, {"found_y": 5})
    assert "smaller than others" in ended(tmp_path / "s", cuts(0, 3, 9))
