"""Narrow types: kernels make numbers of their bits, and bits of numbers, as ml_dtypes does."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library
from workloads import Builder

from luthier.schedules import Workload
from luthier.schedules.ir.dtype import ACCEPTED, DTYPES
from luthier.schedules.ops.evaluate import run
from luthier.schedules.templates.registry import default, instantiate

NARROW = sorted(DTYPES.keys() - ACCEPTED.keys())
EXPONENTS = "float8_e8m0fnu"
FLOATS = [n for n in NARROW if DTYPES[n].is_float and n != EXPONENTS]


def every(dtype: str) -> np.ndarray:
    """All numbers of a type; those of less than a byte again with other bits beside theirs."""
    element = DTYPES[dtype]
    bits = np.arange(1 << (8 * element.bytes)).astype(f"u{element.bytes}")
    return bits.view(element.numpy)


def alone(x: np.ndarray) -> np.ndarray:
    """Elements without the bits beside theirs."""
    element = DTYPES[x.dtype.name]
    if not element.is_narrow:
        return x
    unsigned = x.view(f"u{element.bytes}")
    return (unsigned & np.array((1 << element.bits) - 1, unsigned.dtype)).view(x.dtype)


def around(dtype: str) -> np.ndarray:
    """What rounds to a type: all its numbers, those half way, their neighbours; what is beyond."""
    element = DTYPES[dtype]
    numbers = np.arange(1 << element.bits).astype(f"u{element.bytes}").view(element.numpy)
    exact = np.unique(numbers.astype(np.float32))
    exact = exact[np.isfinite(exact)]
    with np.errstate(all="ignore"):
        half = (exact[1:].astype(np.float64) + exact[:-1]) / 2
        sides = [np.nextafter(half.astype(np.float32), np.float32(e)) for e in (-np.inf, np.inf)]
        beyond = np.array([np.inf, -np.inf, np.nan, -np.nan, 3e38, -3e38, 1e-45, -1e-45, 0, -0.0])
        drawn = np.random.default_rng(0).standard_normal((61, 16))
        scaled = (drawn * 2.0 ** np.arange(-30.0, 31.0)[:, None]).reshape(-1)
        parts = (exact, half, *sides, beyond, exact[-1:] * 1.0625, exact[-1:] * 1.03, scaled)
        return np.concatenate([p.astype(np.float32) for p in parts])


def cast(source: str, target: str, count: int, **attrs: object) -> Workload:
    b = Builder()
    b.add("cast", b.input((count,), source), dtype=target, **attrs)
    return b.workload


def by_kernels(
    cases: Sequence[tuple[Workload, Sequence[np.ndarray]]], level: str
) -> list[np.ndarray]:
    """What kernels of the default schedules give; memory holds bits."""
    target = TARGETS[level]
    library = Library([instantiate(w, target, default(w, target)) for w, _ in cases], target)
    results = []
    for i, (workload, arrays) in enumerate(cases):
        held = [a.view(t.element.storage) for a, t in zip(arrays, workload.inputs, strict=True)]
        result = library.run(i, held, random.Random(i))
        results.append(result.view(workload.output.element.numpy))
    return results


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """All numbers, with their signs, and NaN where they are."""
    assert ours.dtype == theirs.dtype
    a, b = (x.astype(np.float32) for x in (ours, theirs))
    np.testing.assert_array_equal(a, b)
    there = ~np.isnan(a)
    np.testing.assert_array_equal(np.signbit(a[there]), np.signbit(b[there]))


@pytest.mark.parametrize("level", RUNNABLE)
def test_kernels_widen_and_round_as_numpy_does(level: str) -> None:
    cases = []
    for name in NARROW:
        x = every(name)
        wide = DTYPES[name].computed.name
        for target in (wide, "float64", "float16", "int64", "bool"):
            cases.append((cast(name, target, x.size), [x]))
        source = around(name) if DTYPES[name].is_float else np.arange(-70, 70, dtype=np.int32)
        for dtype in (wide, "float64" if DTYPES[name].is_float else "int8", "float32"):
            given = source.astype(dtype)
            cases.append((cast(dtype, name, given.size), [given]))
    for (workload, arrays), ours in zip(cases, by_kernels(cases, level), strict=True):
        same(ours, run(workload, [*map(alone, arrays)]))


@pytest.mark.parametrize("name", FLOATS)
def test_what_numpy_rounds_is_what_ml_dtypes_rounds(name: str) -> None:
    x = around(name)
    with np.errstate(all="ignore"):
        same(run(cast("float32", name, x.size), [x]), x.astype(DTYPES[name].numpy))


@pytest.mark.parametrize("name", [n for n in NARROW if DTYPES[n].is_whole])
def test_whole_numbers_keep_their_lower_bits(name: str) -> None:
    element = DTYPES[name]
    low, high = element.limits
    x = np.arange(-100, 100, dtype=np.int32)
    ours = run(cast("int32", name, x.size), [x]).astype(np.int32)
    assert ours.min() == low
    assert ours.max() == high
    assert not ((ours - x) % (1 << element.bits)).any()


@pytest.mark.parametrize("rounding", ["up", "down", "nearest"])
@pytest.mark.parametrize("limit", [True, False])
def test_exponents_are_rounded_as_the_standard_says(rounding: str, limit: bool) -> None:
    from onnx.numpy_helper import to_float8e8m0

    x = around(EXPONENTS)
    x = np.concatenate([x, np.float32(0.75) * x, np.array([3e38], np.float32)])
    workload = cast("float32", EXPONENTS, x.size, rounding=rounding, limit=limit)
    theirs = to_float8e8m0(x, limit, rounding).view(np.uint8)
    assert np.array_equal(run(workload, [x]).view(np.uint8), theirs)
    (ours,) = by_kernels([(workload, [x])], "x86-64-v2")
    assert np.array_equal(ours.view(np.uint8), theirs)


@pytest.mark.parametrize("name", NARROW)
def test_elements_are_moved_as_they_are(name: str) -> None:
    """A choice, a padding and a transposition, whatever the bits stand for."""
    element = DTYPES[name]
    x = np.resize(every(name), (6, 40))
    b = Builder()
    given, flags = b.input((6, 40), name), b.input((6, 40), "bool")
    padded = b.add("pad", given, shape=(8, 44), before=(1, 2), value=1.0, mode="constant")
    cut = b.add("slice", padded, shape=(6, 40), begin=(0, 0), steps=(1, 1))
    chosen = b.add("where", flags, given, cut)
    b.add("transpose", chosen, shape=(40, 6), axes=(1, 0))
    choice = np.random.default_rng(0).integers(0, 2, (6, 40)).astype(bool)
    arrays = [x, choice]
    (ours,) = by_kernels([(b.workload, arrays)], "x86-64-v2")
    wanted = run(b.workload, arrays)
    assert np.array_equal(ours.view(element.storage), wanted.view(element.storage))
