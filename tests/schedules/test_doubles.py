"""The errors that ``doubles.py`` and ``circular_doubles.py`` in ``schedules/tir`` state, over the
whole range of float64."""

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
SPECIAL = [
    0.0, -0.0, math.inf, -math.inf, math.nan, TINY, -TINY, 1e308, -1e308, 709.9, -746, 1.0, -1.0,
    710.4, -710.4, 710.5, 1.0 - 2**-53, 1.0 + 2**-52, 0.5, 2.0**-1022, -(2.0**-1022), 1e6, 1e150,
    1e22, math.pi, -math.pi / 2, 355.0, 5e5 * math.pi,
]  # fmt: skip


@functools.cache
def samples() -> Array:
    """Every so many bits, and more of those that are neither huge nor tiny; no NaN."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 64, 40_000, dtype=np.uint64, endpoint=False)
    whole = bits.view(np.float64)
    ranges = (1e-6, 1e-3, 1.0, 2.0, 7.0, 40.0, 760.0, 2e6)
    dense = [rng.uniform(-r, r, 20_000) for r in ranges]
    quarters = rng.integers(-636_000, 636_000, 20_000) * (math.pi / 2)
    found = np.concatenate([whole[np.isfinite(whole)], *dense, quarters])
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
    "sin": (np.sin, 2),
    "cos": (np.cos, 2),
    "tan": (np.tan, 3),
    "sinh": (np.sinh, 3),
    "cosh": (np.cosh, 3),
    "asin": (np.arcsin, 3),
    "acos": (np.arccos, 3),
    "atan": (np.arctan, 3),
    "asinh": (np.arcsinh, 4),
    "acosh": (np.arccosh, 4),
    "atanh": (np.arctanh, 4),
}
ODD = ("tanh", "erf", "sin", "tan", "sinh", "asin", "atan", "asinh", "atanh")


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
@pytest.mark.parametrize("op", ODD)
def test_odd_functions_keep_the_sign_of_zero(op: str, level: str) -> None:
    _, got = computed(op, level)
    assert (got[:2] == 0).all()
    assert (np.signbit(got[:2]) == [False, True]).all()
    assert got[SPECIAL.index(TINY)] == TINY


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", ["tanh", "erf"])
def test_limits_are_reached_and_not_passed(op: str, level: str) -> None:
    x, got = computed(op, level)
    assert (np.abs(got[np.abs(x) > 25]) == 1).all()
    assert (np.abs(got[np.isfinite(x)]) <= 1).all()
