"""Libraries for sizes that may be 0, by the public functions, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import luthier

HEAD = '<ir_version: 8, opset_import: ["": 18]>\n'
CACHE = """
cache (float[1,2,past,16] past, float[1,2,tokens,16] new, float[1,1,1,both] mask)
    => (float[1,2,a,16] all, float[1,2,tokens,b] y, float[1,2,tokens,16] mixed) {
  two = Constant <value = float {2}> ()
  fresh = Mul (new, two)
  all = Concat <axis = 2> (past, fresh)
  columns = Transpose <perm = [0, 1, 3, 2]> (all)
  scores = MatMul (new, columns)
  masked = Add (scores, mask)
  y = Softmax (masked)
  mixed = MatMul (y, all)
}"""
ATTENTION = """
attention (float[1,2,queries,16] a, float[1,2,keys,16] b, float[1,2,keys,16] v)
    => (float[1,2,queries,16] y, float[1,2,16] most) {
  rows = Constant <value = int64[1] {2}> ()
  columns = Transpose <perm = [0, 1, 3, 2]> (b)
  scores = MatMul (a, columns)
  shares = Softmax (scores)
  y = MatMul (shares, v)
  most = ReduceMax <keepdims = 0> (v, rows)
}"""
IMAGES = """
images (float[n,3,8,8] x) => (float[n,4,8,8] y, float[n,3,4,4] p, float[n,3,1,1] g) {
  w = Constant <value = float[4,3,1,1] {1,2,3,4,5,6,7,8,9,10,11,12}> ()
  y = Conv (x, w)
  p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
  g = GlobalAveragePool (x)
}"""


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def check(
    text: str, out: Path, shapes: Mapping[str, Any] | None, runs: Sequence[Mapping[str, np.ndarray]]
) -> None:
    proto = onnx.parser.parse_model(HEAD + text)
    report = luthier.build(proto, out, log=None, shapes=shapes, threads=2)
    assert report.problems == ()
    options = {"providers": ["CPUExecutionProvider"]}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), **options)
    with luthier.load(out) as artifact:
        for inputs in (*runs, *runs):
            wanted = session.run(None, dict(inputs))
            for ours, theirs in zip(artifact.run(inputs).values(), wanted, strict=True):
                assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
                np.testing.assert_allclose(ours, theirs, 1e-4, 1e-5)
    assert luthier.check(out).ok


def test_an_empty_past(tmp_path: Path) -> None:
    shapes = {"past": range(101), "tokens": "0..8", "mask": (1, 1, 1, "past+tokens")}
    ends = [(0, 1), (0, 0), (3, 0), (5, 7), (100, 8), (0, 8), (1, 1), (17, 1), (0, 0)]
    runs = [
        {"past": floats(1, 2, p, 16), "new": floats(1, 2, t, 16), "mask": floats(1, 1, 1, p + t)}
        for p, t in ends
    ]
    check(CACHE, tmp_path / "cache", shapes, runs)


def test_attention_of_no_keys(tmp_path: Path) -> None:
    ends = [(0, 1), (0, 0), (3, 0), (5, 7), (40, 300), (1, 1), (40, 0), (33, 129)]
    runs = [
        {"a": floats(1, 2, q, 16), "b": floats(1, 2, k, 16), "v": floats(1, 2, k, 16)}
        for q, k in ends
    ]
    check(ATTENTION, tmp_path / "attention", {"queries": "0..40", "keys": "0..300"}, runs)


@pytest.mark.parametrize("sizes", [(0, 1, 3), range(6), 0])
def test_no_images(tmp_path: Path, sizes: Any) -> None:
    chosen = [sizes] if isinstance(sizes, int) else list(sizes)
    runs = [{"x": floats(n, 3, 8, 8)} for n in chosen]
    check(IMAGES, tmp_path / "images", {"n": sizes}, runs)


def test_a_model_without_elements(tmp_path: Path) -> None:
    text = """
    fixed (float[0,3] a, float[2,3] b) => (float[2,3] y, float[0,3] z, float[3] s) {
      rows = Constant <value = int64[1] {0}> ()
      y = Concat <axis = 0> (a, b)
      z = Relu (a)
      s = ReduceMin <keepdims = 0> (a, rows)
    }"""
    check(text, tmp_path / "fixed", None, [{"a": floats(0, 3), "b": floats(2, 3)}])
    with luthier.load(tmp_path / "fixed") as artifact:
        assert [port.tensor.nbytes for port in artifact.outputs] == [24, 0, 12]
    assert luthier.bench(tmp_path / "fixed", seconds=0.05).median > 0
