"""The table of trained models: what counts as the same output, and how its rows are made."""

from __future__ import annotations

import numpy as np

from bench.trained import alike, cells, table
from bench.turns import Row

ONE = Row("det", 1, {"luthier": [2e-3] * 3, "onnxruntime": [3e-3, 4e-3, 5e-3]}, {})
TWO = Row("det", 2, {"luthier": [1e-3] * 3, "onnxruntime": [3e-3, 3e-3, 3e-3]}, {})


def test_a_line_has_each_number_of_threads() -> None:
    assert cells([ONE, TWO]) == [
        "det", "2.000", "2.00 (1.75 to 2.25)", "1.000", "3.00 (3.00 to 3.00)"
    ]  # fmt: skip
    text = table([[ONE, TWO], [ONE, TWO]], 3)
    assert "2 models; with 1 and 2 threads 2.00 and 3.00 in\ngeometric mean" in text


def test_a_peer_that_fails_says_why() -> None:
    failed = Row("det", 1, {"luthier": [2e-3] * 3}, {"onnxruntime": "it said nothing"})
    assert cells([failed]) == ["det", "2.000", "it said nothing"]


def test_outputs_are_the_same_where_rounding_explains_them() -> None:
    x = np.linspace(-1, 1, 100, dtype=np.float32)
    assert alike(x, x * np.float32(1.01))
    assert not alike(x, x * np.float32(1.1))
    assert not alike(x, x[::-1].copy())
    assert alike(x * np.float32(1e-7), x[::-1] * np.float32(1e-7))
