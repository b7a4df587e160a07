"""Arrays of every element type: ordinary numbers, whole ones, and the ends of what a type holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FLOATS = ("float32", "float64", "float16")
SIGNED = ("int64", "int32", "int16", "int8")
UNSIGNED = ("uint64", "uint32", "uint16", "uint8")
INTEGERS = SIGNED + UNSIGNED
DTYPES = (*FLOATS, *INTEGERS, "bool")

# Types of memory, which are only between nodes: their numbers in ONNX, and since which operator set
# casts know them.
NARROW = {
    "bfloat16": (16, 13),
    "float8_e4m3fn": (17, 19),
    "float8_e4m3fnuz": (18, 19),
    "float8_e5m2": (19, 19),
    "float8_e5m2fnuz": (20, 19),
    "uint4": (21, 21),
    "int4": (22, 21),
}

# What an array's numbers are like: standard normal; few and whole, so that sums are exact and
# comparisons are ties; zeros of both signs and ones; normal with infinities, NaN and the ends of
# the type between; the smallest; the largest.
KINDS = ("normal", "whole", "unit", "special", "tiny", "huge")


def draw(
    rng: np.random.Generator, dtype: str, shape: tuple[int, ...], kind: str = "normal"
) -> Array:
    """Random numbers of one of KINDS."""
    if dtype == "bool":
        return np.asarray(rng.integers(0, 2, shape), np.bool_)
    if dtype in INTEGERS:
        return _integers(rng, dtype, shape, kind)
    with np.errstate(over="ignore"):  # of what a float16 cannot hold
        return np.asarray(_floats(rng, np.finfo(dtype), shape, kind), dtype)


def _integers(rng: np.random.Generator, dtype: str, shape: tuple[int, ...], kind: str) -> Array:
    limits = np.iinfo(dtype)
    if kind in ("special", "huge"):
        ends = [limits.min, limits.max, limits.min + 1, limits.max - 1, 0, 1, limits.max // 2]
        return np.asarray(rng.choice(np.array(ends, dtype), shape), dtype)
    low = max(limits.min, -9) if kind != "unit" else 0
    return np.asarray(rng.integers(low, 10 if kind != "unit" else 2, shape), dtype)


def _floats(rng: np.random.Generator, info: Any, shape: tuple[int, ...], kind: str) -> Array:
    normal = rng.standard_normal(shape)
    if kind == "whole":
        return np.asarray(rng.integers(-4, 5, shape), np.float64)
    if kind == "unit":
        return np.asarray(rng.choice([0.0, -0.0, 1.0, -1.0, 0.5], shape), np.float64)
    if kind == "tiny":
        return np.asarray(normal * 4 * float(info.tiny))
    if kind == "huge":
        return np.asarray(np.tanh(normal) * float(info.max))
    if kind == "special":
        least, most = float(info.smallest_subnormal), float(info.max)
        ends = [np.inf, -np.inf, np.nan, 0.0, -0.0, most, -most, least, -least, float(info.tiny)]
        chosen = rng.choice(ends, shape)
        return np.asarray(np.where(rng.random(shape) < 0.3, chosen, normal))
    return np.asarray(normal)
