"""Sets of the caches that rows of a matrix share: a line has its place in few ways of one set."""

from __future__ import annotations

import math

from ..target.target import Target

CROWDED = 3  # loads that one from L2 is worth, whose line is not in L1 any more
_LINE = 64  # bytes
_L1_WAY = 4096  # bytes of L1 in a way, a page: so address translation need not come first
_L2_WAYS = 8
_OTHERS = 2  # ways of L1 for all that is not these rows


def crowd_l1(rows: int, apart: int, target: Target) -> bool:
    """Whether a line of each of so many rows, which begin ``apart`` bytes from one another, have no
    room in L1 at once."""
    places = _L1_WAY // max(_LINE, math.gcd(apart, _L1_WAY))
    return math.ceil(rows / places) > target.l1_ways - _OTHERS


def crowd_l2(panel: int, apart: int, target: Target) -> bool:
    """Whether a panel of so many bytes, whose rows lie ``apart`` bytes from one another, has no
    room in L2."""
    used = max(1, math.gcd(apart, target.l2 // _L2_WAYS) // _LINE)  # one set of so many
    return panel * used > target.l2
