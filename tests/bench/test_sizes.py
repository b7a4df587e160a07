"""How the table of libraries for all sizes is made of what was measured."""

from __future__ import annotations

import pytest

from bench.sizes import CASES, _cells, _means
from bench.turns import Row

ROW = Row(
    "model",
    2,
    {"open": [2e-3, 2e-3, 2e-3], "fixed": [1e-3, 3e-3, 2e-3], "onnxruntime": [4e-3] * 3},
    {"openvino": "differs in 'y'"},
)


def test_a_row_has_the_medians_of_ratios() -> None:
    cells = _cells(ROW, {"batch": 1, "tokens": 7}, 2)
    assert cells == ["model", "batch=1, tokens=7", "2", "2.00", "1.00", "2.00", "differs in 'y'"]


def test_means_leave_out_who_failed(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("bench.sizes._code", lambda folder: 3072 if folder.name == "a" else 1024)
    rows = [
        ["m", "s", "1", "1", "0.50", "2.00", "fails"],
        ["m", "s", "1", "1", "2.00", "8.00", "1"],
    ]
    cells = _means("m", rows, tmp_path / "a", tmp_path / "b")
    assert cells[3:] == [
        "code 3 KiB, 3.0x",
        "**1.00** (0.50)",
        "**4.00** (2.00)",
        "**1.00** (1.00)",
    ]


def test_sizes_are_named_in_the_order_of_the_ranges() -> None:
    assert CASES["minilm"].named((8, 17)) == {"batch": 8, "tokens": 17}
