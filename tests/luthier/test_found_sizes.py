"""A model whose run finds how much it gives, from the file to the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import luthier

TEXT = """
<ir_version: 8, opset_import: ["": 18]>
boxes (float[rows,4] x, float[rows] scores)
    => (float[kept,4] boxes, float[kept] best, int64[1,kept] places) {
  limit = Constant <value = float {0.5}> ()
  two = Constant <value = float {2}> ()
  line = Constant <value = int64[1] {-1}> ()
  mask = Greater (scores, limit)
  places = NonZero (mask)
  rows = Reshape (places, line)
  best = Gather (scores, rows)
  some = Compress <axis = 0> (x, mask)
  boxes = Mul (some, two)
}
"""
MOST = 2000


DETECTOR = """
<ir_version: 8, opset_import: ["": 18]>
detector (float[1,200,4] x, float[1,2,200] s) => (float[kept,4] chosen, float[kept] best) {
  wanted = Constant <value = int64[1] {20}> ()
  share = Constant <value = float[1] {0.4}> ()
  limit = Constant <value = float[1] {0.5}> ()
  line = Constant <value = int64[1] {-1}> ()
  third = Constant <value = int64[1] {2}> ()
  one = Constant <value = int64[1] {0}> ()
  boxes = Sigmoid (x)
  scores = Sigmoid (s)
  kept = NonMaxSuppression (boxes, scores, wanted, share, limit)
  best = GatherND (scores, kept)
  column = Gather <axis = 1> (kept, third)
  numbers = Reshape (column, line)
  rows = Squeeze (boxes, one)
  chosen = Gather (rows, numbers)
}
"""


def test_the_head_of_a_detector(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(DETECTOR)
    report = luthier.build(proto, tmp_path / "detector", log=None, threads=2)
    assert report.problems == ()
    options = {"providers": ["CPUExecutionProvider"]}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), **options)
    rng = np.random.default_rng(7)
    with luthier.load(tmp_path / "detector") as artifact:
        for above in (-9, 0, 2):
            x = rng.standard_normal((1, 200, 4)).astype(np.float32)
            s = (rng.standard_normal((1, 2, 200)) + above).astype(np.float32)
            wanted = session.run(None, {"x": x, "s": s})
            for ours, theirs in zip(artifact(x, s), wanted, strict=True):
                assert ours.shape == theirs.shape
                np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("found") / "boxes.onnx"
    onnx.save(onnx.parser.parse_model(TEXT), path)
    return path


def test_it_gives_what_onnx_runtime_gives(path: Path, tmp_path: Path) -> None:
    shapes = {"rows": range(1, MOST + 1)}
    report = luthier.build(path, tmp_path / "boxes", log=None, shapes=shapes, threads=2)
    assert report.problems == ()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(5)
    with luthier.load(tmp_path / "boxes") as artifact:
        assert [str(size) for size in artifact.sizes] == [f"rows=1..{MOST}"]
        for rows in (1, 2, 33, MOST):
            for above in (-9.0, 0.0, 9.0):
                x = rng.standard_normal((rows, 4)).astype(np.float32)
                scores = (rng.standard_normal(rows) + above).astype(np.float32)
                wanted = session.run(None, {"x": x, "scores": scores})
                found = artifact(x, scores)
                for ours, theirs in zip(found, wanted, strict=True):
                    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
                    np.testing.assert_allclose(ours, theirs, 1e-6)


def test_it_is_checked(path: Path) -> None:
    report = luthier.check(path, log=None, shapes={"rows": "1..64"}, threads=1, runs=2)
    assert report.ok
    assert report.problems == ()
