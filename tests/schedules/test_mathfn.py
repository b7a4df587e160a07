"""The errors that ``schedules/tir/mathfn.py`` states, over the whole range of float32."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, schedules
from scipy import special
from workloads import unary

from luthier.schedules.templates.registry import instantiate

TINY = np.finfo(np.float32).tiny
MOST = np.finfo(np.float32).max


@functools.cache
def samples() -> np.ndarray:
    """Every 997th float32, and more of those that are neither huge nor tiny; no NaN."""
    bits = np.arange(0, 1 << 32, 997, dtype=np.uint64).astype(np.uint32)
    whole = bits.view(np.float32)
    rng = np.random.default_rng(0)
    dense = [rng.uniform(-r, r, 200_000).astype(np.float32) for r in (1e-3, 1.0, 10.0, 110.0)]
    found = np.concatenate([whole[np.isfinite(whole)], *dense])
    return found[: len(found) // 64 * 64]


@functools.cache
def computed(op: str, level: str, among: str = "all") -> tuple[np.ndarray, np.ndarray]:
    """Samples and what the kernel makes of them."""
    x = np.array(SPECIAL, np.float32) if among == "special" else samples()
    target = TARGETS[level]
    workload = unary(op, x.shape)
    kernel = instantiate(workload, target, next(schedules(workload, target, 0)))
    return x, Library([kernel], target).run(0, [x], random.Random(0))


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-39, MOST, -MOST, 88.9, -104.0]


def ulps(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Distance in units in the last place of float32, of normal numbers."""
    size = np.abs(want).clip(TINY, MOST).astype(np.float32)
    return np.abs(got - want) / np.spacing(size)


@pytest.mark.parametrize("level", RUNNABLE)
def test_exp_is_within_two_ulps(level):
    x, got = computed("exp", level)
    want = np.exp(x.astype(np.float64).clip(-700, 700))
    inner = (x > -86.98) & (x < 88.72)
    assert ulps(got[inner], want[inner]).max() <= 2
    assert np.isinf(got[x > 88.73]).all()
    assert (np.abs(got - want)[x < -86.98] < 1.7e-38).all()
    assert (got >= 0).all()


@pytest.mark.parametrize("level", RUNNABLE)
def test_log_is_within_two_ulps(level):
    x, got = computed("log", level)
    inner = x > 0
    assert ulps(got[inner], np.log(x[inner].astype(np.float64))).max() <= 2
    assert np.isneginf(got[x == 0]).all()
    assert np.isnan(got[x < 0]).all()


@pytest.mark.parametrize("level", RUNNABLE)
def test_tanh_is_within_eight_ulps(level):
    x, got = computed("tanh", level)
    assert ulps(got, np.tanh(x.astype(np.float64))).max() <= 8
    assert (np.abs(got) <= 1).all()
    assert (np.abs(got[np.abs(x) > 8.14]) == 1).all(), "1 + tanh is 0 far below"
    assert (np.sign(got) == np.sign(x)).all()


@pytest.mark.parametrize("level", RUNNABLE)
def test_no_tanh_is_above_one(level):
    """Every float where it comes near."""
    first, last = np.array([7, 8.2], np.float32).view(np.int32)
    x = np.arange(first, last, dtype=np.int32).view(np.float32)
    target, workload = TARGETS[level], unary("tanh", x.shape)
    kernel = instantiate(workload, target, next(schedules(workload, target, 0)))
    got = Library([kernel], target).run(0, [x], random.Random(0))
    assert got.max() == 1
    assert (got[x > 8.1349] == 1).all()


@pytest.mark.parametrize("level", RUNNABLE)
def test_erf_is_within_five_ten_millionths(level):
    x, got = computed("erf", level)
    assert np.abs(got - special.erf(x.astype(np.float64))).max() <= 5e-7
    assert (np.abs(got[np.abs(x) > 4]) == 1).all(), "1 + erf is 0 far below"
    assert (np.sign(got) == np.sign(x)).all()


@pytest.mark.parametrize("level", RUNNABLE)
def test_sigmoid_is_within_four_ulps(level):
    x, got = computed("sigmoid", level)
    inner = x > -87
    assert ulps(got[inner], special.expit(x[inner].astype(np.float64))).max() <= 4
    assert (got[x < -87] < 2e-38).all()
    assert (got[x < -88.4] == 0).all(), "x * sigmoid(x) is 0 far below"
    assert (got[x > 20] == 1).all()
    assert ((got >= 0) & (got <= 1)).all()


@pytest.mark.parametrize("level", RUNNABLE)
def test_softplus_is_within_four_ulps(level):
    x, got = computed("softplus", level)
    inner = x > -87
    assert ulps(got[inner], np.logaddexp(0, x[inner].astype(np.float64))).max() <= 4
    assert ((got >= 0) & (got[...] < 1.7e-38))[x <= -87].all()


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("exp", [1, 1, np.inf, 0, np.nan, 1, 1, 1, np.inf, 0, np.inf, 0]),
        ("log", [-np.inf, -np.inf, np.inf, np.nan, np.nan, -103.27893, np.nan, -89.80082]),
        ("tanh", [0, 0, 1, -1, np.nan, 0, 0, 0, 1, -1, 1, -1]),
        ("erf", [0, 0, 1, -1, np.nan, 0, 0, 0, 1, -1, 1, -1]),
        ("softplus", [0.6931472] * 2 + [np.inf, 0, np.nan] + [0.6931472] * 3 + [MOST, 0, 88.9, 0]),
        ("sigmoid", [0.5, 0.5, 1, 0, np.nan, 0.5, 0.5, 0.5, 1, 0, 1, 0]),
    ],
)
def test_special_values(op, expected, level):
    _, got = computed(op, level, "special")
    close = np.isclose(got[: len(expected)], expected, rtol=1e-6, atol=1e-37, equal_nan=True)
    assert close.all(), (got, expected)
