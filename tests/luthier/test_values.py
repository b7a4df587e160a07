"""Models whose values decide shapes, from the text to the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest

import luthier

WINDOW = """
<ir_version: 8, opset_import: ["": 18]>
window (float[8,4] x, int64[1] first, int64[1] last) => (float[n,4] rows) {
  rows = Slice (x, first, last)
}
"""
FIXED = """
<ir_version: 8, opset_import: ["": 18]>
fixed (float[8,4] x, int64[2] shape) => (float[4,8] y) {
  y = Reshape (x, shape)
}
"""
X = np.arange(32, dtype=np.float32).reshape(8, 4)


@pytest.mark.slow
def test_a_slice_is_as_long_as_a_run_finds(tmp_path: Path) -> None:
    report = luthier.build(onnx.parser.parse_model(WINDOW), tmp_path / "window", log=None)
    assert report.problems == ()
    with luthier.load(tmp_path / "window") as window:
        for first, last in ((0, 3), (-2, 100), (5, 5), (-(2**63), 2**63 - 1), (7, 8)):
            (rows,) = window(X, np.array([first]), np.array([last]))
            assert np.array_equal(rows, X[first:last])


@pytest.mark.slow
def test_a_declared_shape_is_asked_for(tmp_path: Path) -> None:
    report = luthier.build(onnx.parser.parse_model(FIXED), tmp_path / "fixed", log=None)
    assert "it was not tried, since random inputs do not fit it" in report.problems[-1]
    with luthier.load(tmp_path / "fixed") as fixed:
        (y,) = fixed(X, np.array([4, -1]))
        assert np.array_equal(y, X.reshape(4, 8))
        said = r"Reshape 'y': its result has the shape \[2, 16\], not \[4, 8\]"
        with pytest.raises(luthier.InputError, match=said):
            fixed(X, np.array([2, 16]))
