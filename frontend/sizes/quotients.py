"""Quotients of one size that numbers may be, and the size that tells most of them apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

_DIVISORS = range(2, 65)
_LONGER = range(65, 4097)  # steps from one window to the next, of which only those near are tried
_MOST_NEAR = 256


def quotients(sizes: Sequence[int], numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Factors, divisors, and what is added before the division, that give the numbers."""
    low, high = sizes.index(min(sizes)), sizes.index(max(sizes))
    slope = Fraction(numbers[high] - numbers[low], sizes[high] - sizes[low])
    for divisor in _DIVISORS:
        near = math.floor(slope * divisor)
        for factor in (near, near + 1):
            rests = [divisor * n - factor * s for n, s in zip(numbers, sizes, strict=True)]
            first, last = max(rests), min(rests) + divisor - 1
            if factor and math.gcd(factor, divisor) == 1:
                yield from ((factor, divisor, rest) for rest in range(first, last + 1))
    yield from _long_steps(sizes, numbers, low, high)


def _long_steps(
    sizes: Sequence[int], numbers: Sequence[int], low: int, high: int
) -> Iterator[tuple[int, int, int]]:
    """The same of windows that are far apart, as those of sound; of what may be added the least and
    the most, between which all others are."""
    far, more = sizes[high] - sizes[low], numbers[high] - numbers[low]
    if more < 3:
        return
    near = range(max(_LONGER.start, far // (more + 1)), min(_LONGER.stop, far // (more - 1) + 1))
    for divisor in near if len(near) <= _MOST_NEAR else ():
        rests = [divisor * n - s for n, s in zip(numbers, sizes, strict=True)]
        first, last = max(rests), min(rests) + divisor - 1
        if first <= last:
            yield from ((1, divisor, rest) for rest in dict.fromkeys((first, last)))


def deciding(values: NDArray[np.int64]) -> int | None:
    """Where rows, one of each expression, differ most: the fewest of them are equal there. Of many
    such places it is the middle of most in a row, on whose sides as many are; None where there are
    no differences."""
    equal = most = np.ones(values.shape[1], np.int64)
    ordered = np.sort(values, axis=0)
    for row, next_ in itertools.pairwise(ordered):
        equal = np.where(row == next_, equal + 1, 1)
        most = np.maximum(most, equal)
    if most.min() == len(values):
        return None
    places = np.flatnonzero(most == most.min())
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    longest = max(runs, key=len)
    return int(longest[len(longest) // 2])
