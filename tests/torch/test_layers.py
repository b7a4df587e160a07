"""The recurrent layers that the benchmark compares are one and the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from bench.recurrent_layers import module, write

torch = pytest.importorskip("torch", reason="needs the extra 'torch': make test-torch")


@pytest.mark.parametrize("op", ["LSTM", "GRU", "LSTMx2", "GRUx2", "BiLSTMx2"])
def test_torch_has_the_layer_of_the_file(op: str, tmp_path: Path) -> None:
    path = tmp_path / "layer.onnx"
    write(path, op, 8, 2, 5)
    x = np.random.default_rng(0).standard_normal((5, 2, 8)).astype(np.float32)
    y, h = ReferenceEvaluator(onnx.load(path)).run(None, {"x": x})
    with torch.inference_mode():
        ours, _ = module(path)(torch.from_numpy(x))
    of_each = ours.numpy().reshape(5, 2, -1, 8).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(of_each, y, 1e-4, 1e-5)
    for direction, last in enumerate((-1, 0)[: len(h)]):
        np.testing.assert_allclose(of_each[last, direction], h[direction], 1e-4, 1e-5)
