"""Floats become whole numbers as x86 processors convert one of them, in lanes and at the end."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, schedules
from numpy.typing import NDArray
from workloads import Builder

from luthier.schedules.templates.registry import instantiate

FLOATS = ("float16", "float32", "float64")
WHOLE = ("int64", "uint64", "int32", "uint32", "int16", "uint8")


def converted(x: NDArray, end: str, level: str) -> NDArray:
    """What the kernel makes of them."""
    b = Builder()
    b.add("cast", b.input(x.shape, x.dtype.name), dtype=end)
    target, work = TARGETS[level], b.workload
    kernel = instantiate(work, target, next(schedules(work, target, 0)))
    return Library([kernel], target).run(0, [x], random.Random(0))


def exact(x: float, end: str) -> int:
    """By whole numbers of any size."""
    info = np.iinfo(end)
    if end == "uint64":
        upper = not math.isnan(x) and x >= 2.0**63
        low = signed(x - 2.0**63 if upper else x, 64)
        return (low ^ (-(2**63) if upper else 0)) % 2**64
    whole = signed(x, 64 if end in ("int64", "uint32") else 32) % 2**info.bits
    return whole - 2**info.bits if whole > info.max else whole


def signed(x: float, bits: int) -> int:
    held = math.isfinite(x) and -(2 ** (bits - 1)) <= int(x) < 2 ** (bits - 1)
    return int(x) if held else -(2 ** (bits - 1))


def near_limits(dtype: str) -> NDArray:
    """The numbers around powers of two, and where the type ends."""
    info = np.finfo(dtype)
    powers = 2.0 ** np.arange(-2, min(info.maxexp, 70))
    each = np.concatenate([powers, powers + 0.5, powers - 0.5, powers + 1, powers * 1.5])
    each = np.concatenate([each, [0, math.inf, math.nan, info.max, info.smallest_subnormal]])
    with np.errstate(over="ignore"):
        numbers = np.concatenate([each, -each]).astype(dtype)
    towards = np.array(0, dtype)
    return np.concatenate([numbers, np.nextafter(numbers, towards)])


def inside(dtype: str, most: float) -> NDArray:
    """Vectors of which none, or one lane here and there, is beyond ``most``."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-most, most, 4099)
    x[2048::61] *= 3
    with np.errstate(over="ignore"):
        return x.astype(dtype)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_become_whole_numbers_as_one_of_them_does(dtype: str, level: str) -> None:
    rng = np.random.default_rng(1)
    bits = {"float16": np.uint16, "float32": np.uint32, "float64": np.uint64}[dtype]
    anything = rng.integers(0, np.iinfo(bits).max, 4096, bits, endpoint=True).view(dtype)
    several = [near_limits(dtype), anything, inside(dtype, 2.0**31), inside(dtype, 2.0**51)]
    x = np.concatenate([*several, inside(dtype, 100.0)])
    for end in WHOLE:
        want = np.array([exact(each, end) for each in x.tolist()], end)
        np.testing.assert_array_equal(converted(x, end, level), want, err_msg=end)
