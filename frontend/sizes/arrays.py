"""Equal arrays, kept once: a model's programs for several sizes have the same weights."""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..program import Program

Mark: TypeAlias = tuple[str, tuple[int, ...], int]
_MARKED = 4096  # elements of an array that are hashed


def mark(array: NDArray[Any]) -> Mark:
    """What most probably no other array has: its type, and a hash of some elements."""
    some = array.flat[:: max(1, array.size // _MARKED)]
    return str(array.dtype), array.shape, zlib.crc32(some.tobytes())


def equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether shapes and all elements are the same; NaN is NaN."""
    if a.shape != b.shape:
        return False
    return _is_one(a, b) or bool(np.array_equal(a, b, a.dtype.kind == "f"))


def _is_one(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether they are the same view of the same memory, as two imports have of a weight."""
    places = (array.__array_interface__["data"][0] for array in (a, b))
    return len(set(places)) == 1 and (a.dtype, a.strides) == (b.dtype, b.strides)


class Arrays:
    """Those that were met."""

    def __init__(self) -> None:
        self._by_mark: defaultdict[Mark, list[NDArray[Any]]] = defaultdict(list)

    def shared(self, program: Program) -> Program:
        """The program with arrays that were met before in place of equal ones."""
        constants = {value: self._once(array) for value, array in program.constants.items()}
        return replace(program, constants=constants)

    def _once(self, array: NDArray[Any]) -> NDArray[Any]:
        known = self._by_mark[mark(array)]
        found = next((each for each in known if equal(each, array)), None)
        if found is None:
            known.append(array)
            return array
        return found
