"""What ``conversion`` makes of each number, in NumPy, whose own casts leave it open."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def cast(x: Array, dtype: str) -> Array:
    """Elements in another type; floats that an integer type does not hold as on x86 processors."""
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
