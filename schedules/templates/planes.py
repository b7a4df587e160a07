"""Work along the middle one of three dimensions, whose lanes are columns of the last one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..emit.builder import PhaseBuilder
from ..ir.size import at_least
from ..tir.indices import Index, ceildiv, divide, extent, modulo


@dataclass(frozen=True)
class Planes:
    """[outer, length, inner], cut into strips of ``width`` neighbouring columns of one plane.

    ``grain`` elements are in a chunk, whole strips. Columns that are known only at run time and
    not fewer than a strip has are in the last strip and the one before it, where that is needed.
    """

    outer: int
    length: int
    inner: int
    width: int
    grain: int

    @property
    def _blocks(self) -> int:
        return ceildiv(self.inner, self.width)

    @property
    def _group(self) -> int:
        return at_least(self.grain // at_least(self.length * self.width, 1), 1)

    @property
    def chunks(self) -> int:
        """How many there are."""
        return ceildiv(self.outer * self._blocks, self._group)

    def strips(self, builder: PhaseBuilder, chunk: Index) -> Iterator[tuple[Index, Index, int]]:
        """(plane, first column, columns) of a chunk's strips."""
        first, blocks = builder.let(chunk * self._group), self._blocks
        count = extent(first, self._group, self.outer * blocks)
        with builder.loop(count, "strip", first) as strip:
            plane = builder.let(divide(strip, blocks))
            block = builder.let(modulo(strip, blocks))
            for begin, width in builder.block(block, self.width, self.inner):
                yield plane, builder.let(begin), width
