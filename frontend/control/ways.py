"""Ways in which a loop is taken that finds sizes in its iterations, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from luthier.schedules import ModelError, UnsupportedOperator

from ..program import Step
from .found_sizes import FoundInsideError, FoundSizes

Way: TypeAlias = Callable[[], Sequence[Step]]

# Whether what can be none or one is one, and whether sizes may be found in an iteration.
WAYS = ((True, False), (False, True), (True, True))


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
