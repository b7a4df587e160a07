"""How a product is cut into chunks: an analytic model of what threads read anew and wait for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from ...target.target import Target
from ...tir.indices import ceildiv
from ..powers import powers

_FAR_BYTE = 1 / 16  # cycles to read a byte from beyond L2, where arithmetic does not hide it
_CHUNK = 250.0  # cycles to claim and begin one
_MEETING = 2000.0  # until threads have begun, and each has what was in another's cache
_DISTURBED = 1 / 2  # of a chunk, until a thread is done that lost its core or began late


@dataclass(frozen=True)
class Grid:
    """Register tiles of a product: of each matrix of a batch ``tiles`` down and ``panels`` across.

    ``work`` are the cycles of one; ``a`` are the bytes of a tile's rows of A, ``b`` of a panel;
    ``copied`` are the cycles to copy a panel, which each chunk that uses it does.
    """

    batch: int
    tiles: int
    panels: int
    work: float
    a: int
    b: int
    copied: float = 0.0

    def cut(self, target: Target, by_rows: bool) -> tuple[int, int]:
        """How many tiles and panels a chunk has; powers of two.

        ``by_rows`` says that a chunk goes through its panels for each tile, and not the other way.
        """
        sizes = product(powers(self.tiles, 14), powers(self.panels, 14))
        return min(sizes, key=lambda size: self.cycles(size[0], size[1], target, by_rows))

    def cycles(self, m_block: int, n_block: int, target: Target, by_rows: bool) -> float:
        """Until the last thread is done, where a chunk has so many tiles and panels."""
        high, wide = min(m_block, self.tiles), min(n_block, self.panels)
        down, across = ceildiv(self.tiles, high), ceildiv(self.panels, wide)
        chunks, half, threads = self.batch * down * across, target.l2 // 2, target.threads
        a, b = self.tiles * self.a, self.panels * self.b  # bytes
        if a > half:  # and L2 does not keep them from chunk to chunk
            a *= across if by_rows or high * self.a <= half else self.panels
        if b > half:
            b *= down if not by_rows or wide * self.b <= half else self.tiles
        work = self.panels * (self.tiles * self.work + down * self.copied)
        whole = self.batch * (work + (a + b) * _FAR_BYTE) + chunks * _CHUNK
        if threads == 1 or chunks == 1:
            return whole
        longest = high * wide * self.work
        even = chunks % threads == 0 and self.tiles % high == 0 == self.panels % wide
        waits = 0.0 if even else longest * (threads - 1) / threads
        return whole / threads + waits + longest * _DISTURBED + _MEETING
