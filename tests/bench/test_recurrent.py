"""How the table of recurrent layers is made."""

from __future__ import annotations

import pytest

from bench.recurrent import best, table
from bench.turns import Row

ROW = Row(
    "LSTM 64",
    1,
    {"luthier": [1e-3] * 3, "onnxruntime": [3e-3] * 3, "torch": [2e-3] * 3},
    {"openvino": "it said nothing"},
)


def test_the_best_peer_counts() -> None:
    assert best(ROW) == pytest.approx(2.0)
    text = table([ROW, ROW], 3)
    assert "| LSTM 64 | 1 | 1.000 | 3.00 | it said nothing | 2.00 | **2.00** |" in text
    assert "2.00 in\ngeometric mean, 2.00 at least" in text
