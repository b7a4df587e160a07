"""How the table of quantised models is made."""

from __future__ import annotations

import numpy as np

from bench.quantized import FORM, alike
from bench.rounded import Measured
from bench.turns import Row

ROW = Row(
    "resnet18, QUInt8",
    1,
    {"luthier": [1e-3] * 3, "onnxruntime": [3e-3] * 3, "float32": [2e-3] * 3},
    {"openvino": "it said nothing"},
)


def test_the_best_peer_counts_and_float32_does_not() -> None:
    found = Measured(ROW, 0.9998)
    assert Measured.from_json(found.to_json()) == found
    text = FORM.table([found, found], 3)
    cells = "3.00 (3.00 to 3.00) | it said nothing | 2.00 (2.00 to 2.00) | 0.99980 |"
    assert f"| resnet18, QUInt8 | 1 | 1.000 | {cells}" in text
    assert "3.00 in geometric mean, 3.00 at\nleast; against float32: 2.00" in text


def test_outputs_are_alike_where_they_go_together() -> None:
    x = np.linspace(-1, 1, 100)
    assert alike(x, 1.1 * x + 0.01 * np.cos(99 * x))
    assert not alike(x, x[::-1])
