"""The errors that ``schedules/tir/general_power.py`` states, and C's rules of special numbers."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, schedules
from test_mathfn import ulps
from workloads import Builder

from luthier.schedules import Workload
from luthier.schedules.templates.registry import instantiate

COUNT = 1 << 18
SPECIAL = [0.0, 1.0, np.inf, np.nan, 0.5, 2.0, 3.0, 1e-45, 1e-39, 3.4e38, 2.0**24, 2.0**23 + 1, 2.5]
SIGNED = [sign * x for x in SPECIAL for sign in (1, -1)]


def powers(x: np.ndarray, y: np.ndarray, level: str) -> np.ndarray:
    """What the kernel makes of them."""
    target, workload = TARGETS[level], _workload(x.shape)
    kernel = instantiate(workload, target, next(schedules(workload, target, 0)))
    return Library([kernel], target).run(0, [x, y], random.Random(0))


def _workload(shape: tuple[int, ...]) -> Workload:
    b = Builder()
    b.add("power", b.input(shape), b.input(shape))
    return b.workload


@pytest.mark.parametrize("level", RUNNABLE)
def test_results_are_within_one_ulp(level: str) -> None:
    """Of every size that float32 has, near 1 and at whole exponents too."""
    rng = np.random.default_rng(0)
    quarter = COUNT // 4
    x = np.exp2(rng.uniform(-149, 128, COUNT)).astype(np.float32)
    x[:quarter] = rng.uniform(0.9, 1.1, quarter)
    y = (rng.uniform(-160, 160, COUNT) / np.log2(x.astype(np.float64))).astype(np.float32)
    y[quarter : 2 * quarter] = rng.integers(-9, 9, quarter)
    got = powers(x, y, level)
    with np.errstate(all="ignore"):
        want = x.astype(np.float64) ** y.astype(np.float64)
        rounded = want.astype(np.float32)
    sure = np.isfinite(rounded) & (np.abs(want) < 3.402e38)
    assert ulps(got[sure], want[sure]).max() <= 1
    beyond = want > 3.403e38
    assert beyond.any()
    assert np.isinf(got[beyond]).all()


@pytest.mark.parametrize("level", RUNNABLE)
def test_what_is_special_is_as_in_c(level: str) -> None:
    pairs = np.array(list(itertools.product(SIGNED, SIGNED)), np.float32)
    x, y = (np.ascontiguousarray(pairs[:, i]) for i in (0, 1))
    got = powers(x, y, level)
    with np.errstate(all="ignore"):
        want = (x.astype(np.float64) ** y.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    strange = ~np.isfinite(want) | (want == 0) | (np.abs(want) == 1)
    np.testing.assert_array_equal(got[strange], want[strange])
    some = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[some]), np.signbit(want[some]))
    np.testing.assert_allclose(got[some], want[some], rtol=2e-7, atol=1e-44)
