"""How a product is cut into chunks: an analytic model of what threads read anew and wait for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from ...target.target import Target
from ...tir.indices import ceildiv
from ..powers import powers
from ..shares import FAR_BYTE, by_rows, taken_back

_CHUNK = 250.0  # cycles to claim and begin one
_MEETING = 2000.0  # until threads have begun, and each has what was in another's cache
_SHARED_LINE = 200.0  # to write a line of which another thread writes the rest
_DISTURBED = 1 / 2  # of a chunk, until a thread is done that lost its core or began late


@dataclass(frozen=True)
class Grid:
    """Register tiles of a product: of each matrix of a batch ``tiles`` down and ``panels`` across.

    ``work`` are the cycles of one; ``a`` are the bytes of a tile's rows of A, ``b`` of a panel;
    ``copied`` are the cycles to copy a panel, which each chunk that uses it does. Where B
    is not ``constant``, threads wrote it as they did A, and it does not matter which they share.
    """

    batch: int
    tiles: int
    panels: int
    work: float
    a: int
    b: int
    copied: float = 0.0
    constant: bool = True
    lines: int = 0

    def parts(self, target: Target) -> int:
        """Of the rows, which threads share so; 1 where they share columns."""
        rows, panels = self.tiles * self.a, self.panels * self.b
        alone = self.constant and self.batch == 1
        return target.threads if alone and by_rows(rows, panels, target) else 1

    def cut(self, target: Target, rows_outside: bool) -> tuple[int, int]:
        """How many tiles and panels a chunk has; powers of two.

        ``rows_outside`` says that a chunk goes through its panels for each tile, and not the other
        way.
        """
        sizes = product(powers(self.tiles, 14), powers(self.panels, 14))
        return min(sizes, key=lambda size: self.cycles(size[0], size[1], target, rows_outside))

    def cycles(self, m_block: int, n_block: int, target: Target, rows_outside: bool) -> float:
        """Until the last thread is done, where a chunk has so many tiles and panels."""
        high, wide = min(m_block, self.tiles), min(n_block, self.panels)
        down, across = ceildiv(self.tiles, high), ceildiv(self.panels, wide)
        chunks, half, threads = self.batch * down * across, target.l2 // 2, target.threads
        a, b = self.tiles * self.a, self.panels * self.b  # bytes
        if a > half:  # and L2 does not keep them from chunk to chunk
            a *= across if rows_outside or high * self.a <= half else self.panels
        if b > half:
            b *= down if not rows_outside or wide * self.b <= half else self.tiles
        work = self.panels * (self.tiles * self.work + down * self.copied)
        whole = self.batch * (work + (a + b) * FAR_BYTE) + chunks * _CHUNK
        if threads == 1 or chunks == 1:
            return whole
        longest = high * wide * self.work
        even = chunks % threads == 0 and self.tiles % high == 0 == self.panels % wide
        local = self.batch > 1 or not self.constant
        local = local or (down >= threads and (across == 1 or self.parts(target) > 1))
        shared = 0.0 if local else taken_back(self.tiles * self.a, target)
        if across > 1 and self.batch == 1 and self.parts(target) == 1:
            shared += self.lines * _SHARED_LINE
        waits = 0.0 if even else longest * (threads - 1) / threads
        return whole / threads + shared + waits + longest * _DISTURBED + _MEETING
