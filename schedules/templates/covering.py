"""A row in blocks of vectors, of which each has neighbours that go by several at once."""

from __future__ import annotations

from collections.abc import Iterator

from ..emit.builder import PhaseBuilder
from ..emit.lanes import fitting
from ..tir.indices import Index


def covering(
    builder: PhaseBuilder, size: int, lanes: int, turns: int
) -> Iterator[tuple[Index, int]]:
    """(first, lanes) of blocks of ``turns`` vectors that cover ``size`` elements.

    All begin at a multiple of ``turns``. The last one reaches back into the one before; what is
    left then, and what is too short for vectors, comes one by one.
    """
    lanes = fitting(lanes, size // turns)
    width = lanes * turns
    if lanes == 1:
        with builder.loop(size, "column") as column:
            yield column, 1
        return
    full, rest = divmod(size, width)
    with builder.loop(full, "block") as block:
        yield block * width, lanes
    back = (size - width) // turns * turns
    if rest >= turns:
        yield back, lanes
    for column in range(size - rest % turns, size):
        yield column, 1
