"""What decides whether a loop begins, and how often it runs."""

from __future__ import annotations

from dataclasses import dataclass

from .loop_node import LoopNode
from .parts import Parts, Scope


@dataclass(frozen=True)
class Beginning:
    """The values of the number of iterations and of the condition that a loop is given, None for
    none; and what these are where that is known: ``times``, and whether it ``holds``."""

    trips: int | None
    condition: int | None
    times: int | None
    holds: bool | None

    @staticmethod
    def of(loop: LoopNode, parts: Parts, scope: Scope) -> Beginning:
        """Raises ModelError where one is no single number."""
        trips, condition = (
            parts.value(name, scope, loop.label) if name else None
            for name in (loop.trips, loop.condition)
        )
        times = None if trips is None else parts.known(trips, "int64", loop.label)
        holds = None if condition is None else parts.known(condition, "bool", loop.label)
        return Beginning(
            trips,
            condition,
            None if times is None else int(times),
            None if holds is None else bool(holds),
        )

    @property
    def never(self) -> bool:
        """Whether it is known that it does not run."""
        return (self.times is not None and self.times <= 0) or self.holds is False

    @property
    def begins(self) -> bool:
        """Whether it is known whether the condition holds, or there is none."""
        return self.condition is None or self.holds is not None

    @property
    def runs(self) -> bool:
        """Whether it is known that it begins, unless it is ``never``."""
        return self.begins and (self.trips is None or self.times is not None)

    @property
    def sure(self) -> int | None:
        """How often it runs unless an iteration ends it."""
        return self.times if self.begins else None
