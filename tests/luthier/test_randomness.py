"""Models that draw random numbers: built without a reference, alike in every run."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

import luthier
from luthier.correctness.randomness import drawing

TEXT = """
<ir_version: 8, opset_import: ["": 18]>
noisy (float[4,9] x) => (float[4,9] y) {
  noise = RandomNormalLike <scale = 0.5> (x)
  y = Add (x, noise)
}
"""


def test_a_library_draws_the_same_in_every_run_and_thread(tmp_path):
    model = onnx.parser.parse_model(TEXT)
    report = luthier.build(model, tmp_path / "noisy", log=None)
    assert "draws random numbers" in report.problems[0]
    x = np.ones((4, 9), np.float32)
    with luthier.load(tmp_path / "noisy", threads=1) as one:
        first, second = one(x)[0].copy(), one(x)[0].copy()
    with luthier.load(tmp_path / "noisy", threads=2) as two:
        third = two(x)[0].copy()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    assert 0.2 < (first - 1).std() < 0.8
    assert luthier.check(tmp_path / "noisy").ok  # by the sample, which is its own
    with pytest.raises(luthier.ModelError, match="RandomNormalLike 'noise' draws random numbers"):
        luthier.check(model)


@pytest.mark.parametrize(
    ("nodes", "drawn"),
    [
        ("y = Relu (x)", None),
        ("y = Dropout (x)", None),
        ("off = Constant <value = bool {0}> () y = Dropout (x, , off)", "Dropout 'y'"),
        ("y = Bernoulli (x)", "Bernoulli 'y'"),
    ],
)
def test_what_draws_is_found(nodes, drawn):
    text = f'<ir_version: 8, opset_import: ["": 18]> m (float[3] x) => (float[3] y) {{ {nodes} }}'
    assert drawing(onnx.parser.parse_model(text)) == drawn
