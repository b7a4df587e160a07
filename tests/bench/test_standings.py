"""Tables, means and pictures of measured rows."""

from __future__ import annotations

import pytest

from bench import standings
from bench.picture import Bar, bars, draw
from bench.standings import BEST, Standing
from bench.turns import Row


def standing(model, threads, winograd=False, failures=None, **milliseconds):
    """Of an engine's milliseconds, the same in three turns."""
    turns = {label: [ms / 1e3] * 3 for label, ms in milliseconds.items()}
    return Standing(Row(model, threads, turns, failures or {}), floor=1.0, winograd=winograd)


UNEVEN = Standing(
    Row("m", 2, {"luthier": [1e-3, 2e-3, 1e-3], "a": [2e-3, 2e-3, 3e-3], "b": [4e-3] * 3}, {}),
    floor=0.5,
    winograd=True,
)
FOUR = [
    standing("one", 1, luthier=2, a=4, b=3),
    standing("two", 1, winograd=True, luthier=1, a=4, failures={"b": "differs in 'y'"}),
    standing("one", 2, luthier=2, a=1, b=3),
    standing("two", 2, winograd=True, luthier=1, failures={"a": "no", "b": "no"}),
]


def test_the_best_peer_is_the_one_with_the_smallest_median():
    assert [s.best for s in FOUR] == ["b", "a", "a", None]
    assert FOUR[0].ratios(BEST) == (1.5, 1.5, 1.5)
    assert FOUR[3].ratios(BEST) is None
    assert UNEVEN.ratios(BEST) == (1.5, 2.0, 2.5)


def test_the_floor_over_the_time_is_the_share_of_the_peak():
    assert UNEVEN.of_peak == pytest.approx(0.5)


def test_a_table_has_every_time_the_best_ratio_and_what_failed():
    lines = standings.table([UNEVEN, *FOUR], ["a", "b"]).splitlines()
    assert lines[2] == "| m | 2 | 1.00 | **2.00** | 4.00 | 2.00 (1.50 to 2.50) | 50% |"
    assert lines[4] == "| two | 1 | 1.00 | **4.00** | differs | 4.00 (4.00 to 4.00) | 100% |"
    assert lines[6] == "| two | 2 | 1.00 | fails | fails |  | 100% |"


def test_means_are_of_each_peer_and_of_the_best_by_threads_and_kind():
    lines = standings.means(FOUR, ["a", "b"]).splitlines()
    assert lines[2:] == [
        "| best peer | 1 | 2.45 (2) | 1.50 | 4.00 (1) | 1.50 (1) |",
        "| best peer | 2 | 0.50 (1) | 0.50 |  | 0.50 (1) |",
        "| a | 1 | 2.83 (2) | 2.00 | 4.00 (1) | 2.00 (1) |",
        "| a | 2 | 0.50 (1) | 0.50 |  | 0.50 (1) |",
        "| b | 1 | 1.50 (1) | 1.50 |  | 1.50 (1) |",
        "| b | 2 | 1.50 (1) | 1.50 |  | 1.50 (1) |",
    ]


def test_the_short_table_has_the_most_threads():
    lines = standings.short_table(FOUR, ["a", "b"]).splitlines()
    assert lines[2:] == ["| one | 2.00 | 1.00 | 3.00 |", "| two | 1.00 | fails | fails |"]


def test_bars_stand_by_model_then_threads():
    assert bars(FOUR) == [
        Bar("one", 1, 1.5, 1.5, 1.5),
        Bar("one", 2, 0.5, 0.5, 0.5),
        Bar("two", 1, 4.0, 4.0, 4.0),
    ]


def test_the_same_bars_are_the_same_picture(tmp_path):
    for name in ("first.svg", "second.svg"):
        draw(bars([UNEVEN, *FOUR]), tmp_path / name)
    text = (tmp_path / "first.svg").read_text()
    assert text == (tmp_path / "second.svg").read_text()
    assert "two" in text
    assert len(text) < 50_000
