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


FEW = """
<ir_version: 8, opset_import: ["": 17]>
few (float[6,4] x, bool[6] mask, bool[6] others)
    => (float[k,4] best, int64[n] numbers, float[m,4] filled, float[a,4] turned, int64[b] rows) {
  axis = Constant <value = int64 {0}> ()
  first = Constant <value = int64[1] {0}> ()
  one = Constant <value = int64 {1}> ()
  ones = Constant <value = int64[1] {1}> ()
  two = Constant <value = int64 {2}> ()
  four = Constant <value = int64[1] {4}> ()
  some = Compress <axis = 0> (x, mask)
  shape = Shape (some)
  count = Gather <axis = 0> (shape, first)
  k = Min (count, ones)
  best, places = TopK <axis = 0> (some, k)
  number = Gather <axis = 0> (shape, axis)
  last = Min (number, two)
  numbers = Range (axis, last, one)
  m = Max (count, ones)
  size = Concat <axis = 0> (m, four)
  filled = ConstantOfShape <value = float[1] {7}> (size)
  is_more = Greater (number, one)
  turned = If (is_more) <
    then_branch = then () => (float[a,4] minus) { minus = Neg (some) },
    else_branch = otherwise () => (float[a,4] plus) { plus = Exp (some) }
  >
  found = NonZero (others)
  pairs = Transpose <perm = [1, 0]> (found)
  rows = Squeeze (pairs)
}
"""


def test_what_is_otherwise_for_few_is_right_or_ends_the_run(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(FEW)
    del proto.graph.output[-1].type.tensor_type.shape.dim[:]
    proto.graph.output[-1].type.tensor_type.ClearField("shape")
    luthier.build(proto, tmp_path / "few", log=None, threads=2)
    options = {"providers": ["CPUExecutionProvider"]}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), **options)
    x = np.random.default_rng(3).standard_normal((6, 4)).astype(np.float32)
    with luthier.load(tmp_path / "few") as artifact:
        for count in (0, 1, 2, 3, 6):
            masks = {"mask": np.arange(6) < count, "others": np.arange(6) < 2}
            wanted = session.run(None, {"x": x, **masks})
            for ours, theirs in zip(artifact(x, *masks.values()), wanted, strict=True):
                assert ours.shape == theirs.shape
                np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6)
        with pytest.raises(luthier.InputError, match=r"'found_found' is 1, and 'few' was not"):
            artifact(x, np.arange(6) < 3, np.arange(6) < 1)
