"""Ranges from which random numbers are drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; ``whole``: they have to be whole."""

    low: int
    high: int
    whole: bool = False

    def __and__(self, other: Range | None) -> Range:
        """Numbers that both have; this range alone where there are none."""
        if other is None:
            return self
        low, high = max(self.low, other.low), min(self.high, other.high)
        if low > high:
            return self
        return Range(low, high, self.whole or other.whole)

    def of_each(self, count: int) -> Range:
        """What each of ``count`` numbers may be that are added up, the same one for all."""
        each = -(-self.low // count)
        return Range(each, each, True)
