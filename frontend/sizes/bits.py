"""Arrays that have the same bits, all or some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def same(one: Array, other: Array) -> bool:
    """Whether types, shapes and all bits are."""
    return one is other or (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


def is_one_number(arrays: Sequence[Array]) -> bool:
    """Whether all elements that there are, are the same bits."""
    bits = {array.reshape(-1)[:1].tobytes() for array in arrays if array.size}
    return len(bits) == 1 and all(
        array.tobytes() == next(iter(bits)) * array.size for array in arrays
    )


def begins(whole: Array, part: Array) -> bool:
    """Whether a part is the beginning of a whole along all dimensions."""
    if part.ndim != whole.ndim or any(n > m for n, m in zip(part.shape, whole.shape, strict=True)):
        return False
    return same(np.ascontiguousarray(whole[tuple(map(slice, part.shape))]), part)
