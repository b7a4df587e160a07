"""An iteration of a loop, as it is imported: once, for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from luthier.schedules import Tensor

from ..program import Step
from .growing import Growth
from .parts import Held


@dataclass(frozen=True)
class Iteration:
    """Its number, the carried values that it gets, of ``types``, and what it ``held`` at its end;
    how those of some places grow, and the sizes of what these are after as many iterations as a run
    decides."""

    number: int
    types: Sequence[Tensor]
    carried: Sequence[int]
    steps: Sequence[Step]
    held: Sequence[Held]
    growths: Mapping[int, Growth]
    lengths: Mapping[int, tuple[str, int]] = field(default_factory=dict)

    @property
    def grows(self) -> tuple[int | None, ...]:
        """As a ``Loop`` says it."""
        axes = (self.growths[k].axis if k in self.growths else None for k in range(len(self.types)))
        return tuple(axes) if self.growths else ()
