"""Loops over as many steps as there are: from the file to the library, by the public functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import luthier

# A recurrent cell over the steps of a sequence, until its sum is large; states of all steps are
# kept; and a branch that the data decides.
TEXT = """
<ir_version: 8, opset_import: ["": 18]>
cell (float[steps,batch,8] x, float[batch,8] h, bool flag) => (float[batch,8] y, float[s,b,8] all)
<float[8,8] w = {W}>
{
  last, states = Scan <num_scan_inputs = 1, body = body (float[b,8] before, float[b,8] now)
      => (float[b,8] after, float[b,8] kept) {
    mixed = MatMul (before, w)
    sum = Add (mixed, now)
    after = Tanh (sum)
    kept = Identity (after)
  }> (h, x)
  y = If (flag) <then_branch = then () => (float[b,8] t) { t = Neg (last) },
                 else_branch = other () => (float[b,8] e) { e = Mul (last, h) }>
  all = Relu (states)
}
"""
STEPS, BATCHES = 40, 19


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    weights = np.random.default_rng(3).standard_normal(64) / 3
    return onnx.parser.parse_model(TEXT.replace("W", ", ".join(f"{w:.4f}" for w in weights)))


def test_it_gives_what_onnx_runtime_gives(proto: onnx.ModelProto, tmp_path: Path) -> None:
    shapes = {"steps": range(1, STEPS + 1), "batch": f"1..{BATCHES}"}
    report = luthier.build(proto, tmp_path / "cell", log=None, shapes=shapes, threads=2)
    assert report.problems == ()
    options = {"providers": ["CPUExecutionProvider"]}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), **options)
    rng = np.random.default_rng(7)
    ends = [(1, 1), (1, BATCHES), (STEPS, 1), (STEPS, BATCHES), (2, 2), (7, 8), (8, 15), (9, 16)]
    some = [tuple(map(int, rng.integers(1, (STEPS + 1, BATCHES + 1)))) for _ in range(8)]
    with luthier.load(tmp_path / "cell") as artifact:
        for steps, batch in (*ends, *some):
            for flag in (True, False):
                x = rng.standard_normal((steps, batch, 8)).astype(np.float32)
                h = rng.standard_normal((batch, 8)).astype(np.float32)
                wanted = session.run(None, {"x": x, "h": h, "flag": np.array(flag)})
                for ours, theirs in zip(artifact(x, h, np.array(flag)), wanted, strict=True):
                    assert ours.shape == theirs.shape
                    np.testing.assert_allclose(ours, theirs, 1e-4, 1e-5)
    assert luthier.check(tmp_path / "cell").ok


def test_it_is_checked_at_many_sizes(proto: onnx.ModelProto) -> None:
    report = luthier.check(proto, shapes={"steps": "1..12", "batch": 3})
    assert report.ok
