"""The errors that ``schedules/tir/doubles.py`` states, over the whole range of float64."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, schedules
from numpy.typing import NDArray
from workloads import unary

from luthier.schedules.templates.registry import instantiate

Array = NDArray[np.float64]
Wide = NDArray[np.longdouble]
TINY = 5e-324
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, TINY, -TINY, 1e308, -1e308, 709.9, -746, 1.0]


@functools.cache
def samples() -> Array:
    """Every so many bits, and more of those that are neither huge nor tiny; no NaN."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 64, 40_000, dtype=np.uint64, endpoint=False)
    whole = bits.view(np.float64)
    ranges = (1e-6, 1e-3, 1.0, 2.0, 7.0, 40.0, 760.0)
    dense = [rng.uniform(-r, r, 20_000) for r in ranges]
    found = np.concatenate([whole[np.isfinite(whole)], *dense])
    return found[: len(found) // 64 * 64]


@functools.cache
def computed(op: str, level: str) -> tuple[Array, Array]:
    """Samples, those that are special before them, and what the kernel makes of them."""
    x = np.concatenate([np.array(SPECIAL), samples()])
    x = x[: len(x) // 4 * 4]
    target = TARGETS[level]
    workload = unary(op, x.shape, "float64")
    kernel = instantiate(workload, target, next(schedules(workload, target, 0)))
    return x, Library([kernel], target).run(0, [x], random.Random(0))


def sigmoid(x: Wide) -> Wide:
    return 1 / (1 + np.exp(-x))


def softplus(x: Wide) -> Wide:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def erf(x: Wide) -> Wide:
    """Python's own, which is half an ulp off at most where it counts."""
    return np.array([math.erf(float(value)) for value in x], np.longdouble)


FUNCTIONS: dict[str, tuple[Callable[[Wide], Wide], float]] = {
    "exp": (np.exp, 2),
    "log": (np.log, 2),
    "sigmoid": (sigmoid, 3),
    "softplus": (softplus, 3),
    "tanh": (np.tanh, 3),
    "erf": (erf, 4),
}


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", FUNCTIONS)
def test_errors_are_within_what_is_stated(op: str, level: str) -> None:
    function, most = FUNCTIONS[op]
    x, got = computed(op, level)
    with np.errstate(all="ignore"):
        want = function(x.astype(np.longdouble))
        rounded = want.astype(np.float64)
    assert (np.isnan(got) == np.isnan(rounded)).all()
    infinite = np.isinf(rounded)
    assert (got[infinite] == rounded[infinite]).all()
    finite = np.isfinite(rounded)
    if op == "sigmoid":  # below that, e**-x is infinite
        assert (got[x < -710] == 0).all()
        finite &= x > -709
    errors = np.abs(got[finite] - want[finite]) / np.spacing(np.abs(rounded[finite]))
    assert errors.max() <= most, x[finite][errors.argmax()]


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", ["tanh", "erf"])
def test_odd_functions_keep_the_sign_of_zero_and_end_at_one(op: str, level: str) -> None:
    x, got = computed(op, level)
    assert (np.signbit(got[:2]) == [False, True]).all()
    assert (np.abs(got[np.abs(x) > 25]) == 1).all()
    assert (np.abs(got[np.isfinite(x)]) <= 1).all()
