"""Register tiles of a step, and the sums that they leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...emit.tile import RegisterTile
from ...tir.indices import Expr, Index
from .form import Group

Groups = tuple[Group, ...]


@dataclass(frozen=True)
class Tile:
    """A register tile: ``units`` from ``unit`` on, in block ``block``, of ``high`` rows.

    ``own`` are the vectors of each gate, (first unit, lanes); sums of ``groups`` come in turns.
    """

    block: Index
    unit: Index
    units: int
    row: Index
    high: int
    own: list[tuple[int, int]]
    groups: Groups


@dataclass(frozen=True)
class Sums:
    """By gate, the register tile of its group and its number there; ``own`` vectors each."""

    of: Mapping[int, tuple[RegisterTile, int]]
    own: int

    def element(self, gate: int, row: int, column: Index) -> Expr:
        """The sum of a unit, whose vectors lie after one another."""
        register, number = self.of[gate]
        return register.element(row, column, number * self.own)
