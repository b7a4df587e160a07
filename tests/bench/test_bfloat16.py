"""How the table of models in bfloat16 is made."""

from __future__ import annotations

from bench.bfloat16 import FORM
from bench.rounded import Measured
from bench.turns import Row


def row(model: str, times: dict[str, float], failures: dict[str, str]) -> Measured:
    return Measured(Row(model, 1, {n: [t] * 3 for n, t in times.items()}, failures), 0.9998)


def test_a_peer_that_fails_counts_for_nothing() -> None:
    ran = row("resnet18", {"luthier": 1e-3, "openvino_bf16": 3e-3, "float32": 2e-3}, {})
    alone = row("unet", {"luthier": 1e-3, "float32": 2e-3}, {"openvino_bf16": "it said nothing"})
    text = FORM.table([ran, alone], 3)
    assert "| resnet18 | 1 | 1.000 | 3.00 (3.00 to 3.00) | 2.00 (2.00 to 2.00) | 0.99980 |" in text
    assert "| unet | 1 | 1.000 | it said nothing | 2.00 (2.00 to 2.00) | 0.99980 |" in text
    assert "3.00 in geometric mean, 3.00 at least; against float32:\n2.00" in text
