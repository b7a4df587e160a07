"""What ``conversion`` and ``narrow`` make of numbers, in NumPy, whose own casts leave it open."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.dtype import DTYPES, Kind

Array = NDArray[Any]


def cast(x: Array, dtype: str, rounding: str = "nearest", *, limit: bool = True) -> Array:
    """Elements in another type; floats that an integer type does not hold as on x86 processors.

    ``rounding`` and ``limit`` are of ``float8_e8m0fnu``; see ``narrow.narrowed``.
    """
    source, element = DTYPES[x.dtype.name], DTYPES[dtype]
    if source.is_narrow:
        x = x.astype(source.computed.numpy)
    if not element.is_narrow:
        return _cast(x, dtype)
    wide = _cast(x, element.computed.name)
    if not element.is_float:
        low = wide & ((1 << element.bits) - 1)
        sign = 1 << (element.bits - 1)
        return ((low ^ sign) - sign if element.kind is Kind.INT else low).astype(element.numpy)
    if dtype == "float8_e8m0fnu":
        return _exponents(wide, rounding, limit=limit).view(element.numpy)
    with np.errstate(all="ignore"):
        return wide.astype(element.numpy)


def _cast(x: Array, dtype: str) -> Array:
    if x.dtype.kind != "f" or np.dtype(dtype).kind not in "iu":
        return x.astype(dtype)
    x = np.asarray(x, np.float64)
    if dtype != "uint64":
        return _signed(x, "int64" if dtype in ("int64", "uint32") else "int32").astype(dtype)
    upper = x >= 2.0**63
    low = _signed(np.where(upper, x - 2.0**63, x), "int64")
    return np.where(upper, low ^ np.iinfo(np.int64).min, low).astype(dtype)


def _signed(x: Array, dtype: str) -> Array:
    lowest = np.iinfo(dtype).min
    inside = (x >= lowest) & (x < -float(lowest))
    return np.where(inside, np.where(inside, x, 0).astype(dtype), np.array(lowest, dtype))


def _exponents(x: Array, rounding: str, *, limit: bool) -> Array:
    bits = np.ascontiguousarray(x, np.float32).reshape(x.shape).view(np.uint32)
    exponent, rest, half = (bits >> 23) & 0xFF, bits & 0x7FFFFF, 1 << 22
    upwards = {
        "up": rest > 0,
        "down": np.zeros_like(rest, bool),
        "nearest": (rest > half) | ((rest == half) & (exponent > 0)),
    }[rounding]
    found = exponent + upwards
    if limit:
        found = np.minimum(found, 254)
    return np.where(exponent == 255, 255, found).astype(np.uint8)
