"""Views of a dense array: which transpositions, slices and reshapes need no copy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Strided:
    """Element (i, j, ...) is element ``offset + i * strides[0] + ...`` of a dense array."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @staticmethod
    def dense(shape: Sequence[int]) -> Strided:
        """All of an array, in row-major order."""
        return Strided(tuple(shape), tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))), 0)

    def transpose(self, axes: Sequence[int]) -> Strided:
        """NumPy's."""
        strides = tuple(self.strides[a] for a in axes)
        return Strided(tuple(self.shape[a] for a in axes), strides, self.offset)

    def slice(self, begin: Sequence[int], steps: Sequence[int], shape: Sequence[int]) -> Strided:
        """``shape`` elements from ``begin`` on, ``steps`` apart."""
        offset = self.offset + sum(b * s for b, s in zip(begin, self.strides, strict=True))
        strides = tuple(t * s for t, s in zip(steps, self.strides, strict=True))
        return Strided(tuple(shape), strides, offset)

    def reshape(self, shape: Sequence[int]) -> Strided | None:
        """The same elements in another shape; None where they would have to move."""
        left = [(n, s) for n, s in zip(self.shape, self.strides, strict=True) if n != 1]
        strides: list[int] = []
        for extent in reversed(shape):
            if extent == 1:
                strides.append(0)
                continue
            while left and left[-1][0] % extent:
                if len(left) < 2:
                    return None
                (outer, apart), (inner, stride) = left[-2:]
                if apart != inner * stride:  # the two do not lie after one another
                    return None
                left[-2:] = [(outer * inner, stride)]
            if not left:
                return None
            size, stride = left.pop()
            strides.append(stride)
            if size != extent:
                left.append((size // extent, stride * extent))
        return None if left else Strided(tuple(shape), tuple(strides[::-1]), self.offset)
