"""Tiles of one output channel whose rows lie below each other and share what they read.

Vectors of neighbouring places lie in two lines of the cache for all but one of a kernel row's taps,
and loading one then takes as long as two multiply-adds, or more. A row that was loaded is therefore
multiplied for every row of outputs that sees it: of ``rows`` outputs and a kernel as high,
``rows + height - 1`` loads do for ``rows * height`` multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...emit.builder import PhaseBuilder
from ...emit.tile import RegisterTile, splat, vector_index
from ...tir.indices import Expr, Index
from ..window import Axis


@dataclass(frozen=True)
class Downwards:
    """How the rows of a kernel lie among the rows that outputs see, by their remainder modulo the
    stride: ``(row of the kernel, rows of this remainder from the first one)``."""

    down: Axis

    @property
    def turns(self) -> dict[int, list[tuple[int, int]]]:
        """By the remainders that there are."""
        found: dict[int, list[tuple[int, int]]] = {}
        for tap in range(self.down.kernel):
            line, turn = divmod(tap * self.down.dilation, self.down.stride)
            found.setdefault(turn, []).append((tap, line))
        return found

    def loads(self, rows: int) -> int:
        """Vectors that a tile of so many rows loads for each column of the kernel."""
        reach = ((taps[-1][1] - taps[0][1], len(taps)) for taps in self.turns.values())
        return sum(min(rows + lines, rows * taps) for lines, taps in reach)

    def add(
        self,
        register: RegisterTile,
        weight: Callable[[int], Expr],
        place: Callable[[int, int], Index],
    ) -> None:
        """Add one column of the kernel to all rows of a tile.

        ``weight`` loads that of a row of the kernel; ``place`` is where, for a remainder and a row
        of it, the vector lies in lines.
        """
        builder, lanes = register.builder, register.parts[0][1]
        weights = [splat(builder.let(weight(tap)), lanes) for tap in range(self.down.kernel)]
        for turn, taps in self.turns.items():
            for line in range(register.rows + taps[-1][1]):
                seeing = [(line - first, tap) for tap, first in taps]
                seeing = [(row, tap) for row, tap in seeing if 0 <= row < register.rows]
                if not seeing:
                    continue
                value = self._load(builder, place(turn, line), lanes)
                for row, tap in seeing:
                    _add(register, row, value, weights[tap])

    def _load(self, builder: PhaseBuilder, first: Index, lanes: int) -> Expr:
        return builder.let(builder.load(builder["lines"], vector_index(first, lanes)))


def _add(register: RegisterTile, row: int, value: Expr, weight: Expr) -> None:
    register.update(row, 0, lambda old: register.micro.emit(old, value, weight))
