"""Remainders of floats are C's ``fmod``, bit for bit, and Python's, whatever the numbers."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, schedules
from numpy.typing import NDArray
from workloads import Builder

from luthier.schedules import Workload
from luthier.schedules.templates.registry import instantiate

COUNT = 1 << 16
DTYPES = ("float32", "float64", "float16")
BITS = {"float16": np.uint16, "float32": np.uint32, "float64": np.uint64}


def workload(op: str, shape: tuple[int, ...], dtype: str) -> Workload:
    b = Builder()
    b.add(op, b.input(shape, dtype), b.input(shape, dtype), dtype=dtype)
    return b.workload


def computed(op: str, a: NDArray, b: NDArray, level: str) -> NDArray:
    """What the kernel makes of them."""
    target, work = TARGETS[level], workload(op, a.shape, a.dtype.name)
    kernel = instantiate(work, target, next(schedules(work, target, 0)))
    return Library([kernel], target).run(0, [a, b], random.Random(0))


def special(dtype: str) -> tuple[NDArray, NDArray]:
    """All pairs of numbers at which something changes, with both signs."""
    info = np.finfo(dtype)
    digits = 2.0**info.nmant
    most, least, small = (float(x) for x in (info.max, info.tiny, info.smallest_subnormal))
    one_more = float(np.nextafter(np.array(1, dtype), np.array(2, dtype)))
    numbers = [0, small, 3 * small, least, least - small, 0.1, 1 / 3, 0.5, 1, one_more, 1.5, 2, 3]
    numbers += [5, 7.25, digits - 1, digits, 2 * digits - 1, 2 * digits, most / 3, most]
    numbers += [math.inf, math.nan]
    signed = [sign * x for x in numbers for sign in (1, -1)]
    pairs = np.array(list(itertools.product(signed, signed)), dtype)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def near_multiples(dtype: str) -> tuple[NDArray, NDArray]:
    """Dividends next to a multiple of the divisor, up to quotients of more digits than there are:
    rounded quotients are wrong by one then."""
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    b = rng.uniform(0.5, 1, COUNT).astype(dtype)
    times = np.floor(2 ** rng.uniform(0, info.nmant + 1, COUNT))
    with np.errstate(over="ignore"):
        a = (times * b).astype(dtype)
    a = np.nextafter(a, (a * rng.integers(-1, 2, COUNT) * 2).astype(dtype))
    scale = (2.0 ** rng.integers(info.minexp - info.nmant, info.maxexp, COUNT)).astype(dtype)
    whole = rng.random(COUNT) < 0.5
    with np.errstate(all="ignore"):
        return np.where(whole, a, a * scale), np.where(whole, b, b * scale)


def random_bits(dtype: str) -> tuple[NDArray, NDArray]:
    """Numbers of every size: quotients have up to thousands of digits."""
    rng, bits = np.random.default_rng(1), BITS[dtype]
    a, b = rng.integers(0, np.iinfo(bits).max, (2, COUNT), bits, endpoint=True).view(dtype)
    return a, b


def assert_equal(got: NDArray, want: NDArray) -> None:
    """NaN where NaN is wanted, else the same bits."""
    nan = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(got), nan)
    bits = BITS[got.dtype.name]
    np.testing.assert_array_equal(got.view(bits)[~nan], want.view(bits)[~nan])


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("numbers", [special, near_multiples, random_bits])
@pytest.mark.parametrize(("op", "function"), [("mod", np.fmod), ("floor_mod", np.mod)])
def test_remainders_are_exact(op, function, numbers, dtype, level) -> None:
    a, b = numbers(dtype)
    with np.errstate(all="ignore"):
        want = function(a, b)
    assert_equal(computed(op, a, b, level), want)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 13])
def test_a_lane_that_is_far_leaves_the_others_alone(count: int, level: str) -> None:
    """Vectors of every width, and one lane after the other by C's function."""
    for far in range(count):
        a, b = np.linspace(1, 9, count), np.full(count, 0.7)
        a[far] = 1e300
        assert_equal(computed("mod", a, b, level), np.fmod(a, b))
