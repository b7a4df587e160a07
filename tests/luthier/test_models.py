"""The models inside the onnx wheel, with seeded weights, agree with ONNX Runtime.

With the wheel's own weights (one number everywhere) every output is the same number, and a check
says nothing. Most end in a softmax over a thousand classes, where the promised absolute tolerance
of 1e-4 is a tenth of a mean probability; so it is 1e-7 here, and the relative one counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import luthier
from bench.models import LIGHT, light, light_seeded

RTOL, ATOL = 1e-3, 1e-7


# The layers of the others, in larger numbers; the benchmarks compare their outputs.
LARGER = {"vgg19", "zfnet512"}


def test_there_are_nine():
    assert len(LIGHT) == len(set(LIGHT)) == 9
    assert all(light(name).is_file() for name in LIGHT)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LIGHT if name not in LARGER])
def test_model(tmp_path, name):
    path = light_seeded(name, tmp_path)
    built = luthier.build(path, tmp_path / "out", log=None)
    assert built.reference.startswith("onnxruntime ")
    report = luthier.check(tmp_path / "out", rtol=RTOL, atol=ATOL)
    assert report.ok, report.outputs
    assert_outputs_say_something(tmp_path / "out")


def assert_outputs_say_something(folder: Path) -> None:
    """Classes differ, and another image gives other values, by more than the tolerance."""
    with luthier.load(folder) as artifact, np.load(folder / "sample.npz") as sample:
        (image,), (scores,) = artifact.inputs, artifact.outputs
        known = sample[f"out:{scores.name}"]
        other = np.random.default_rng(7).standard_normal(image.tensor.shape).astype(np.float32)
        (changed,) = artifact(other)
    assert known.size == 1000
    assert known.std() > 0.5 * np.abs(known).mean()
    assert np.abs(changed / known - 1).max() > 3 * RTOL
