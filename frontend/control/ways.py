"""Ways in which a loop is taken that finds sizes in its iterations, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from luthier.schedules import ModelError, UnsupportedOperator

from ..program import Step
from .found_sizes import FoundInsideError, FoundSizes

Way: TypeAlias = Callable[[], Sequence[Step]]
Looped: TypeAlias = Callable[[bool, bool], Sequence[Step]]
"""The steps of a loop, as ``WAYS`` say."""

# Whether what can be none or one is one, and whether sizes may be found in an iteration.
WAYS = ((True, False), (True, True), (False, True))


class Remembered:
    """The ways of a loop; others than the one that was right in other imports are not tried."""

    def __init__(self, looped: Looped, sizes: FoundSizes, label: str) -> None:
        self._looped, self._sizes = looped, sizes
        self._key = label, sizes.single, sizes.inside

    def steps(self) -> Sequence[Step] | None:
        """The steps in the way that is remembered; None where there is none, or it fails."""
        if self._key not in self._sizes.ways:
            return None
        known, (single, inside) = len(self._sizes.symbols), self._sizes.ways[self._key]
        try:
            return self._looped(single, inside)
        except ModelError:
            self._sizes.forget(known)
            return None

    def ways(self) -> list[Way]:
        """All of them; the one that is taken is remembered."""
        return [partial(self._taken, *way) for way in WAYS]

    def _taken(self, single: bool, inside: bool) -> Sequence[Step]:
        steps = self._looped(single, inside)
        self._sizes.ways[self._key] = single, inside
        return steps


def first_of(
    ways: Sequence[Way], sizes: FoundSizes, error: FoundInsideError, *, spare: Way
) -> Sequence[Step]:
    """What the first gives that is supported, where there is none for this error without them.

    Raises what the last one raises, but for a ``spare`` one.
    """
    last: ModelError = error
    known = len(sizes.symbols)
    for way in ways:
        try:
            return way()
        except ModelError as other:
            sizes.forget(known)
            last = last if way is spare else other
    if isinstance(last, UnsupportedOperator):
        raise last
    raise FoundInsideError(error.label, error.node, f": {last}") from last
