"""Tiles at the borders of long kernels: taps that some outputs have see a copy, with its padding.

Where kernels are short each tap of such a tile has code of its own, for the outputs that have it.
That grows with the square of the kernel: there are more such tiles, and each has more taps. Of a
long kernel's taps nearly all are those of all outputs of a tile, or of none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..emit.builder import PhaseBuilder, Slot
from ..ir.workload import Tensor
from ..tir.indices import Index
from ..tir.literals import constant
from ..tvm_late import tirx
from .taps import MOST_WRITTEN, Vectors
from .window import Axis, column_tiles


def border_slot(columns: Axis, widths: Sequence[int], channels: int, dtype: str) -> Slot | None:
    """Scratch for what the widest tile sees; None where taps at borders are written out, or there
    are none."""
    if columns.kernel == 0:
        return None
    if not columns.is_open:
        tiles = column_tiles(columns, widths)
        if sum(columns.kernel for tile in tiles if not tile.inside) <= MOST_WRITTEN:
            return None
    size = max(widths) * columns.kernel * channels
    return Slot(None, "border", Tensor((size,), dtype))


def copy_seen(
    builder: PhaseBuilder,
    columns: Axis,
    outputs: int,
    begin: Index,
    taps: tuple[Index, Index],
    row: Vectors,
    channels: int,
    lanes: int,
) -> None:
    """``channels`` of what ``outputs`` see by ``taps``, the first and how many, into the slot
    ``border``: as [output][tap][channel], with room for all taps.

    ``row`` has the input's columns; the first output's window starts at column ``begin``, which
    may be outside: what is there is zero.
    """
    border: Any = builder["border"]
    first, count = taps
    with builder.loop(outputs, "output") as output, builder.loop(count, "kw") as kw:
        tap = first + kw
        at = builder.let(begin + output * columns.stride + tap * columns.dilation)
        to = builder.let((output * columns.kernel + kw) * channels)
        inside = tirx.all(at >= 0, columns.size - at > 0)
        with builder.when(inside):
            source = builder.let(row.first + at * row.pitch)
            for c in builder.strips(channels, lanes):
                builder.store(border, to + c, builder.load(row.buffer, source + c))
        with builder.when(tirx.Not(inside)):
            for c in builder.strips(channels, lanes):
                builder.store(border, to + c, constant(0.0, border.dtype))
