"""The program of ``bench.overheads`` times runs and changes of sizes of any library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest

import luthier
from bench import overheads

OPEN = """
<ir_version: 8, opset_import: ["": 18]>
open (float[rows,4] x) => (float[rows,4] y) { y = Relu (x) }
"""


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overheads, "BATCHES", 3)


def test_a_step_of_a_loop_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overheads, "RUNS", 2)
    steps = overheads.loop(tmp_path / "loop")
    assert len(steps) == 3
    assert all(0 < each < 1e-3 for each in steps)
    with luthier.load(tmp_path / "loop") as loop:
        x = np.array([1, 2, 3, 4], np.float32)
        assert np.array_equal(loop(x)[0], x * (overheads.STEPS + 1))


def test_a_change_of_sizes_is_timed(tmp_path: Path) -> None:
    luthier.build(
        onnx.parser.parse_model(OPEN), tmp_path / "open", log=None, shapes={"rows": "1..8"}
    )
    assert all(0 < each < 1e-3 for each in overheads.seconds(tmp_path / "open", "sizes", 10))
