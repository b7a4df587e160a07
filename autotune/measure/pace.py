"""How long something takes on average."""

from __future__ import annotations


class Pace:
    """How long something takes on average."""

    def __init__(self) -> None:
        self.seconds, self.count = 0.0, 0

    def add(self, seconds: float, count: int = 1) -> None:
        """``count`` of them took so long."""
        self.seconds += seconds
        self.count += count

    def mean(self, guess: float) -> float:
        """Seconds of one; ``guess`` before there was any."""
        return self.seconds / self.count if self.count else guess
