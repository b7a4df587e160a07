"""What of the shapes of values is other where a run finds other sizes than an import takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from luthier.schedules import ModelError

from .found_sizes import FoundSizes

Shapes: TypeAlias = Sequence[Sequence[int]]

_APART = 3  # sizes that are taken to be less are by as much less, so that few of them are alike


class Extent(NamedTuple):
    """Of the dimensions of a value whether they vary, and how large each is where what is found is
    as large as it can be; of none where the value cannot be then."""

    axes: Sequence[bool]
    most: Sequence[int]


def extents(
    sizes: FoundSizes, before: int, count: int, again: Callable[[], Shapes]
) -> list[Extent]:
    """Of so many values, whose shapes are made ``again`` with other sizes found; there were so many
    ``before`` these."""
    rooms = {symbol.name: sizes.room(symbol.name) for symbol in sizes.symbols[before:]}
    less = {name: max(room - 1 - i % _APART, 1) for i, (name, room) in enumerate(rooms.items())}
    most, others = (_shapes(sizes, before, taken, count, again) for taken in (rooms, less))
    return [
        Extent([a != b for a, b in zip(high, low, strict=False)], high)
        for high, low in zip(most, others, strict=True)
    ]


def _shapes(
    sizes: FoundSizes,
    before: int,
    taken: Mapping[str, int],
    count: int,
    again: Callable[[], Shapes],
) -> Shapes:
    try:
        with sizes.retaken(before, taken):
            return again()
    except ModelError:
        return [()] * count
