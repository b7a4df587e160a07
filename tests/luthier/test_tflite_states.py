"""What a file of TensorFlow Lite keeps from run to run is kept by its library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import luthier

FOLDER = Path(__file__).parents[1] / "frontend" / "tflite_models"


@pytest.mark.parametrize("name", ["keeping", "simple"])
def test_runs_go_on_from_what_the_last_one_left(name: str, tmp_path: Path) -> None:
    report = luthier.build(FOLDER / f"{name}.tflite", tmp_path / "out", log=None)
    assert not report.problems  # ONNX Runtime gives the same from random states
    with np.load(FOLDER / f"{name}.npz") as arrays, luthier.load(tmp_path / "out") as artifact:
        for attempt in range(2):
            for number in range(3):
                after = f"@{number}" if number else ""
                given = {note.name: arrays[f"{note.name}{after}"] for note in artifact.inputs}
                for title, value in artifact.run(given).items():
                    np.testing.assert_allclose(
                        value,
                        arrays[f"out_{title}{after}"],
                        1e-4,
                        1e-5,
                        err_msg=f"{title} {attempt}",
                    )
            artifact.state.reset()
