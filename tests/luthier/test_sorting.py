"""Models that sort, from the file to the library, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import luthier

DETECTOR = """
<ir_version: 8, opset_import: ["": 18]>
detector (float[1,900,4] x, float[1,3,900] s) => (float[kept,4] chosen, float[kept] best) {
  most = Constant <value = int64[1] {60}> ()
  wanted = Constant <value = int64[1] {9}> ()
  share = Constant <value = float[1] {0.4}> ()
  limit = Constant <value = float[1] {0.5}> ()
  line = Constant <value = int64[1] {-1}> ()
  third = Constant <value = int64[1] {2}> ()
  one = Constant <value = int64[1] {0}> ()
  boxes = Sigmoid (x)
  all = Sigmoid (s)
  classes = Constant <value = int64[1] {1}> ()
  of_any = ReduceMax <keepdims = 0> (all, classes)
  highest, where = TopK (of_any, most)
  places = Reshape (where, line)
  likely = Gather <axis = 1> (boxes, places)
  scores = Gather <axis = 2> (all, places)
  kept = NonMaxSuppression (likely, scores, wanted, share, limit)
  best = GatherND (scores, kept)
  column = Gather <axis = 1> (kept, third)
  numbers = Reshape (column, line)
  rows = Squeeze (likely, one)
  chosen = Gather (rows, numbers)
}
"""

WORDS = """
<ir_version: 8, opset_import: ["": 18]>
words (int64[batch,tokens] ids, float[100,8] table)
    => (int64[kinds] known, int64[kinds] times, float[kinds,8] rows, float[batch,tokens,8] all) {
  shape = Shape (ids)
  eight = Constant <value = int64[1] {8}> ()
  whole = Concat <axis = 0> (shape, eight)
  known, first, which, times = Unique (ids)
  rows = Gather (table, known)
  flat = Gather (rows, which)
  all = Reshape (flat, whole)
}
"""


def session(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def test_the_tail_of_a_detector(tmp_path: Path) -> None:
    """The best of all places, the boxes there, and of these what overlaps no better one."""
    proto = onnx.parser.parse_model(DETECTOR)
    report = luthier.build(proto, tmp_path / "detector", log=None, threads=2)
    assert report.problems == ()
    theirs, rng = session(proto), np.random.default_rng(7)
    with luthier.load(tmp_path / "detector") as artifact:
        for by in (0.0, -3.0, -50.0):
            x = rng.standard_normal((1, 900, 4), np.float32)
            s = rng.standard_normal((1, 3, 900), np.float32) + np.float32(by)
            ours = artifact.run({"x": x, "s": s})
            wanted = theirs.run(None, {"x": x, "s": s})
            for name, want in zip(("chosen", "best"), wanted, strict=True):
                assert ours[name].shape == want.shape
                np.testing.assert_allclose(ours[name], want, 1e-5, 1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_words_are_looked_up_once(tmp_path: Path, threads: int) -> None:
    proto = onnx.parser.parse_model(WORDS)
    shapes = {"batch": range(1, 5), "tokens": range(1, 65)}
    report = luthier.build(proto, tmp_path / "words", log=None, shapes=shapes, threads=threads)
    assert report.problems == ()
    theirs, rng = session(proto), np.random.default_rng(3)
    table = rng.standard_normal((100, 8), np.float32)
    with luthier.load(tmp_path / "words") as artifact:
        for batch, tokens, kinds in ((1, 1, 1), (4, 64, 100), (2, 7, 3), (3, 1, 100)):
            given = {"ids": rng.integers(0, kinds, (batch, tokens)), "table": table}
            ours = artifact.run(given)
            names = [output.name for output in theirs.get_outputs()]
            for name, want in zip(names, theirs.run(None, given), strict=True):
                assert np.array_equal(ours[name], want), name
