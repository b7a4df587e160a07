"""What imports of a model at several sizes share, so that one program may do for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

Moves: TypeAlias = frozenset[tuple[object, ...]]
"""What nodes do that leaves their operand as it is at some sizes, each named by the node first."""


@dataclass(frozen=True)
class Across:
    """Places and weights that are others for other sizes are tables, or runs ``compute`` them.

    What was ``moved`` in this import may leave all as it is at other sizes; what was at others is
    ``kept``, though it does nothing at these. What was ``decided`` by how large something is, for
    the sizes of the first import, holds for all others.
    """

    compute: bool = False
    kept: Moves = frozenset()
    moved: set[tuple[object, ...]] = field(default_factory=set)
    decided: dict[tuple[object, ...], bool] = field(default_factory=dict)

    def moves(self, move: tuple[object, ...], *, here: bool) -> bool:
        """Whether there is something to do, at these sizes (``here``) or at others."""
        if here:
            self.moved.add(move)
        return here or move in self.kept
