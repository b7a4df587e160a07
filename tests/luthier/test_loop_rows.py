"""Loops whose runs decide how much they keep: in libraries, beside ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import luthier

# One loop runs as often as it is told, the other until a sum is large, at most so often; what they
# keep is computed with.
TEXT = """
<ir_version: 8, opset_import: ["": 18]>
grown (int64 n, int64 most, float end, float[b,5] x)
    => (float[r,b,5] y, float[s,b,5] z, float[t,b] sums, int64 count) {
  true = Constant <value = bool {1}> ()
  last, rows = Loop <body = one (int64 i, bool c, float[b,5] v)
      => (bool on, float[b,5] w, float[b,5] kept) {
    on = Identity (c)
    f = Cast <to = 1> (i)
    w = Add (v, f)
    kept = Tanh (w)
  }> (n, "", x)
  y = Neg (rows)
  end_of_it, z, sums = Loop <body = two (int64 k, bool d, float[b,5] a)
      => (bool go, float[b,5] next, float[b,5] old, float[b] sum) {
    whole = ReduceSum <keepdims = 0> (a)
    go = Less (whole, end)
    next = Add (a, a)
    old = Identity (a)
    one = Constant <value = int64[1] {1}> ()
    sum = ReduceSum <keepdims = 0> (a, one)
  }> (most, true, x)
  shape = Shape (z)
  zero = Constant <value = int64 {0}> ()
  count = Gather (shape, zero)
}
"""
BOUND = 11


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    return onnx.parser.parse_model(TEXT)


def test_as_many_rows_as_a_run_says(proto: onnx.ModelProto, tmp_path: Path) -> None:
    bounds = {"found_rows": BOUND, "found_z": BOUND}
    luthier.build(
        proto, tmp_path / "grown", log=None, shapes={"b": range(1, 5)}, bounds=bounds, threads=2
    )
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    rng = np.random.default_rng(5)
    with luthier.load(tmp_path / "grown") as artifact:
        for n in (0, 1, 2, 7, BOUND, 3, 0):
            for most, end in ((0, 9), (1, 9), (BOUND, 1e3), (99, 40), (5, -1)):
                x = rng.uniform(0.1, 1, (int(rng.integers(1, 5)), 5)).astype(np.float32)
                inputs = (np.array(n), np.array(most), np.float32(end), x)
                given = dict(zip(("n", "most", "end", "x"), map(np.asarray, inputs), strict=True))
                for ours, theirs in zip(artifact(*inputs), session.run(None, given), strict=True):
                    if ours.size:  # of no rows, ONNX Runtime does not tell how long they are
                        np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6)
                    assert (ours.shape[:1], ours.size) == (np.shape(theirs)[:1], np.size(theirs))
        with pytest.raises(luthier.InputError, match=f"'found_rows' is {BOUND + 1}, not in"):
            artifact(np.array(BOUND + 1), np.array(1), np.float32(1), x)
        with pytest.raises(luthier.InputError, match=f"keeps more than {BOUND} rows"):
            artifact(np.array(1), np.array(99), np.float32(1e9), x)
        assert artifact(np.array(2), np.array(2), np.float32(9), x)[0].shape == (2, *x.shape)
