"""The layers that are compared are one and the same, and how their table is made."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from bench.recurrent import best, table
from bench.recurrent_layers import module, write
from bench.turns import Row

ROW = Row(
    "LSTM 64",
    1,
    {"luthier": [1e-3] * 3, "onnxruntime": [3e-3] * 3, "torch_layer": [2e-3] * 3},
    {"openvino": "it said nothing"},
)


def test_the_best_peer_counts() -> None:
    assert best(ROW) == pytest.approx(2.0)
    text = table([ROW, ROW], 3)
    assert "| LSTM 64 | 1 | 1.000 | 3.00 | it said nothing | 2.00 | **2.00** |" in text
    assert "2.00 in\ngeometric mean, 2.00 at least" in text


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_torch_has_the_layer_of_the_file(op: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    assert "torch" in sys.modules
    path = tmp_path / "layer.onnx"
    write(path, op, 8, 2, 5)
    x = np.random.default_rng(0).standard_normal((5, 2, 8)).astype(np.float32)
    y, h = ReferenceEvaluator(onnx.load(path)).run(None, {"x": x})
    with torch.inference_mode():
        ours, _ = module(path)(torch.from_numpy(x))
    np.testing.assert_allclose(ours.numpy(), y[:, 0], 1e-4, 1e-5)
    np.testing.assert_allclose(ours.numpy()[-1], h[0], 1e-4, 1e-5)
