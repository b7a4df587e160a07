"""Blocks of memory in the arena: those whose lives do not overlap share bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from luthier.schedules import ALIGNMENT


@dataclass(frozen=True)
class Block:
    """``nbytes`` that are in use from call ``first`` to call ``last``, both included."""

    nbytes: int
    first: int
    last: int


def round_up(nbytes: int) -> int:
    """To the next multiple of ALIGNMENT."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class _Placed:
    """Blocks with their offsets, in the order of these."""

    def __init__(self, most: int) -> None:
        self._table = np.zeros((4, most), np.int64)  # begin, end, first, last
        self._count = 0

    def gap(self, block: Block, nbytes: int) -> int:
        """Offset of the tightest gap between the blocks that are in use with ``block``, or their
        common end."""
        begin, end, first, last = self._table[:, : self._count]
        used = (first <= block.last) & (last >= block.first)
        reach = np.maximum.accumulate(np.concatenate([[0], end[used]]))
        free = begin[used] - reach[:-1]
        fits = np.flatnonzero(free >= nbytes)
        return int(reach[fits[np.argmin(free[fits])]] if fits.size else reach[-1])

    def add(self, block: Block, offset: int, nbytes: int) -> None:
        at = int(np.searchsorted(self._table[0, : self._count], offset))
        self._table[:, at + 1 : self._count + 1] = self._table[:, at : self._count].copy()
        self._table[:, at] = offset, offset + nbytes, block.first, block.last
        self._count += 1


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Offsets (multiples of 64) for the blocks, and the bytes of the whole arena.

    Greedy by size with best fit, after Pisarchyk and Lee, "Efficient memory management for deep
    neural net inference" (2020).
    """
    offsets = [0] * len(blocks)
    placed = _Placed(len(blocks))
    for i in sorted(range(len(blocks)), key=lambda i: (-blocks[i].nbytes, blocks[i].first)):
        size = round_up(blocks[i].nbytes)
        offsets[i] = placed.gap(blocks[i], size)
        if size:
            placed.add(blocks[i], offsets[i], size)
    ends = (o + round_up(b.nbytes) for o, b in zip(offsets, blocks, strict=True))
    return offsets, max(ends, default=0)


@dataclass
class Blocks:
    """Blocks under construction; an index stands for the offset that ``place`` will choose."""

    sizes: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, nbytes: int, time: int) -> int:
        """A new one, in use at ``time``."""
        self.sizes.append(nbytes)
        self.spans.append((time, time))
        return len(self.sizes) - 1

    def use(self, block: int, time: int) -> None:
        """It is in use until ``time``, too."""
        first, last = self.spans[block]
        self.spans[block] = first, max(last, time)

    def place(self) -> tuple[list[int], int]:
        """See the function ``place``."""
        return place([Block(n, *s) for n, s in zip(self.sizes, self.spans, strict=True)])
