"""Random numbers: the published generator's, the same in every run, and of the right distribution.

Seeds are fixed, so no test can fail by chance.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx_models import TARGET, compute, floats, model

from luthier.frontend import import_model
from luthier.schedules import ModelError

COUNT = 40_000


def drawn(
    op: str,
    *given: np.ndarray,
    kernels: bool = False,
    name: str = "n",
    opset: int = 22,
    **attrs: Any,
) -> np.ndarray:
    inputs = {f"in{i}": x for i, x in enumerate(given)}
    node = helper.make_node(op, list(inputs), ["out"], name=name, **attrs)
    program = import_model(model([node], inputs, ["out"], opset=opset), TARGET)
    return compute(program, inputs, kernels)["out"]


def philox(count: int, key: int, stream: int) -> list[tuple[int, int]]:
    """Philox2x32-10 as Salmon et al. 2011 write it, number by number."""
    found = []
    for place in range(count):
        left, right, turn = place, stream, key
        for _ in range(10):
            product = 0xD256D193 * left
            left, right = (product >> 32) ^ turn ^ right, product & 0xFFFFFFFF
            turn = (turn + 0x9E3779B9) & 0xFFFFFFFF
        found.append((left, right))
    return found


def test_the_generator_is_the_published_one() -> None:
    """The known answer that Random123 comes with."""
    assert philox(1, 0, 0)[0] == (0xFF1DAE59, 0x6CD10DF2)


@pytest.mark.parametrize("kernels", [False, True])
def test_bits_are_those_of_the_generator(kernels: bool) -> None:
    key = int(np.float32(7.5).view(np.uint32))
    words = np.array(philox(50, key, 0), np.uint64)
    x = np.zeros((5, 10), np.float32)
    got = drawn("RandomUniformLike", x, kernels=kernels, seed=7.5)
    np.testing.assert_array_equal(got.reshape(-1), (words[:, 0] >> 8).astype(np.float32) / 2**24)
    wide = drawn("RandomUniformLike", x, kernels=kernels, seed=7.5, dtype=11).reshape(-1)
    ours = (words[:, 0] >> 5) * 2.0**-27 + (words[:, 1] >> 6) * 2.0**-53
    np.testing.assert_array_equal(wide, ours)


def test_seeds_and_names_decide_what_is_drawn() -> None:
    by = {
        (name, seed): drawn(
            "RandomNormal", shape=[100], name=name, **({"seed": seed} if seed else {})
        )
        for name in ("a", "b")
        for seed in (None, 1.0, 2.0)
    }
    assert np.array_equal(by["a", 1.0], by["b", 1.0])
    assert not np.array_equal(by["a", 1.0], by["a", 2.0])
    assert not np.array_equal(by["a", None], by["b", None])
    assert np.array_equal(by["a", None], drawn("RandomNormal", shape=[100], name="a"))


@pytest.mark.parametrize("dtype", [1, 10, 11])
def test_uniform_numbers(dtype: int) -> None:
    x = drawn("RandomUniform", shape=[2, COUNT // 2], low=-3.0, high=5.0, seed=3.0, dtype=dtype)
    assert x.shape == (2, COUNT // 2)
    assert x.dtype == helper.tensor_dtype_to_np_dtype(dtype)
    _ks(np.sort(x.astype(np.float64).reshape(-1)), lambda v: (v + 3) / 8)
    assert -3 <= x.min() <= x.max() <= 5


@pytest.mark.parametrize("dtype", [1, 11])
def test_normal_numbers(dtype: int) -> None:
    x = drawn("RandomNormal", shape=[COUNT], mean=2.0, scale=3.0, seed=4.0, dtype=dtype)
    erf = np.vectorize(math.erf)
    _ks(np.sort((x - 2) / 3), lambda v: (1 + erf(v / np.sqrt(2))) / 2)
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.02
    assert np.abs((x - 2) / 3).max() > 3.5


def _ks(x: np.ndarray, cdf: Any) -> None:
    """Kolmogorov and Smirnov's distance, below what one in a thousand samples exceeds."""
    distance = np.abs(cdf(x) - (np.arange(x.size) + 0.5) / x.size).max()
    assert distance < 1.95 / np.sqrt(x.size)


def test_truths_have_their_probabilities() -> None:
    p = np.repeat(np.float32([0, 0.1, 0.5, 0.9, 1]), 8000).reshape(5, 8000)
    x = drawn("Bernoulli", p, seed=5.0, dtype=9)
    assert x.dtype == bool
    np.testing.assert_allclose(x.mean(axis=1), [0, 0.1, 0.5, 0.9, 1], atol=0.02)
    assert not x[0].any()
    assert x[4].all()
    assert drawn("Bernoulli", p.astype(np.float64), opset=15).dtype == np.float64


def test_classes_have_their_weights() -> None:
    weights = np.array([[1, 2, 0, 5], [1, 1, 1, 1]], np.float64)
    with np.errstate(divide="ignore"):
        logits = (np.log(weights) + 9).astype(np.float32)
    x = drawn("Multinomial", logits, sample_size=8000, seed=6.0, dtype=7)
    assert x.shape == (2, 8000)
    assert x.dtype == np.int64
    shares = np.stack([np.bincount(row, minlength=4) / 8000 for row in x])
    np.testing.assert_allclose(shares, weights / weights.sum(axis=1, keepdims=True), atol=0.02)
    assert shares[0, 2] == 0


def test_dropout_of_training_drops_a_share_and_scales_the_rest() -> None:
    x = np.abs(floats(100, 300)) + 1
    node = helper.make_node("Dropout", ["x", "ratio", "mode"], ["y", "kept"], seed=3)
    constants = {"ratio": np.float32(0.3), "mode": np.array(True)}
    program = import_model(model([node], {"x": x}, ["y", "kept"], constants, opset=13), TARGET)
    found = compute(program, {"x": x})
    y, kept = found["y"], found["kept"]
    assert kept.dtype == bool
    assert abs(kept.mean() - 0.7) < 0.01
    np.testing.assert_allclose(y, np.where(kept, x / 0.7, 0), rtol=1e-6)


@pytest.mark.parametrize(
    ("op", "attrs", "said"),
    [
        ("RandomNormal", {"shape": [-3]}, "Negative values are not allowed"),
        ("RandomUniform", {"shape": [2**40]}, "its shape is"),
        ("RandomUniform", {"shape": [2], "dtype": 6}, "."),
        ("RandomNormal", {"shape": [2], "dtype": 16}, "bfloat16"),
    ],
)
def test_what_cannot_be_drawn_is_refused(op: str, attrs: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        drawn(op, **attrs)
