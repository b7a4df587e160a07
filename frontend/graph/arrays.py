"""Equal arrays, kept once: constants of a graph, weights of one model at several sizes."""

from __future__ import annotations

import zlib
from collections import defaultdict
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Tensor

Array = NDArray[Any]
Mark: TypeAlias = tuple[str, tuple[int, ...], int]
_MARKED = 4096  # elements of an array that are hashed


def type_of(array: Array) -> Tensor:
    """Its shape and the name of its element type."""
    return Tensor(tuple(array.shape), _name(array.dtype))


@lru_cache(maxsize=256)
def _name(dtype: np.dtype[Any]) -> str:
    return str(dtype)  # which NumPy makes anew each time, slowly


def mark(array: Array) -> Mark:
    """What most probably no other array has: its type, and a hash of some elements."""
    some = array.flat[:: max(1, array.size // _MARKED)]
    return _name(array.dtype), array.shape, zlib.crc32(some.tobytes())


def equal(a: Array, b: Array) -> bool:
    """Whether types, shapes and all bits are the same."""
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    return _is_one(a, b) or bool(np.array_equal(_bits(a), _bits(b)))


def _is_one(a: Array, b: Array) -> bool:
    """Whether they are the same view of the same memory, as two imports have of a weight."""
    places = {array.__array_interface__["data"][0] for array in (a, b)}
    return len(places) == 1 and a.strides == b.strides


def _bits(array: Array) -> Array:
    return array.view(f"u{array.itemsize}") if array.dtype.kind in "fV" else array


class Arrays:
    """Those that were met."""

    def __init__(self) -> None:
        self._by_mark: defaultdict[Mark, list[Array]] = defaultdict(list)

    def once(self, array: Array) -> Array:
        """The first that was met of those that are equal to this one."""
        known = self._by_mark[mark(array)]
        found = next((each for each in known if equal(each, array)), None)
        if found is None:
            known.append(array)
            return array
        return found
