"""Asking for memory before it is used.

Where arithmetic fills the processor's window it reaches few loads ahead, and hardware prefetchers
stop at the end of a page: weights that are read once then come at half of the memory's pace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ir.dtype import FLOAT32, DType
from ..tir.indices import Index, ceildiv
from .builder import PhaseBuilder
from .tile import LINE

AHEAD = 6144 // FLOAT32.bytes  # elements between what is used and what is asked for


def ask_for(
    builder: PhaseBuilder,
    buffer: Any,
    first: Index,
    count: int,
    ahead: Index = AHEAD,
    level: int = 1,
) -> None:
    """The lines of ``count`` neighbours that are ``ahead`` of ``first``, which may lie after the
    buffer's end; into the caches from ``level`` on. More lines may be on their way to L2."""
    for line in range(ceildiv(count, LINE)):
        builder.prefetch(buffer, first + ahead + line * LINE, level)


def ask_for_whole(
    builder: PhaseBuilder, buffer: Any, first: Index, count: int, element: DType
) -> None:
    """The same of numbers of another type."""
    smaller = FLOAT32.bytes // element.bytes
    for line in range(ceildiv(count, LINE * smaller)):
        builder.prefetch(buffer, first + (AHEAD + line * LINE) * smaller)


def ask_for_share(
    builder: PhaseBuilder, buffer: Any, first: Index, count: int, element: DType, times: int
) -> Callable[[Index], None]:
    """What, called in each of so many ``times`` by its number, asks for a share of ``count``
    neighbours from ``first`` on, into L2: what is used next comes while something else is used
    often, however slow memory is."""
    line = LINE * FLOAT32.bytes // element.bytes
    each = ceildiv(count, times)

    def ask(time: Index) -> None:
        for begin in range(0, each, line):
            builder.prefetch(buffer, first + time * each + begin, level=2)

    return ask
