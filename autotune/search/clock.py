"""The time of a session: how much is left, and what the rest of it will take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ..measure.pace import Pace

_MOST_RESERVED = 0.6  # of the time given, for what comes after the trials
_COMPARED = 4  # schedules in a comparison
_COMPARING = 2.0  # seconds that timing them takes, besides building them


class Clock:
    """Times are ``time.monotonic`` seconds.

    ``given``: how many the session may take, from ``started`` on; infinite where nobody minds.
    ``afterwards`` tells how many follow after it, by how many a kernel takes to build and a run of
    the model takes, which the session sets as its ``latency``.
    """

    def __init__(
        self,
        given: float,
        started: float | None = None,
        afterwards: Callable[[float, float], float] | None = None,
    ) -> None:
        self.given = given
        self.started = time.monotonic() if started is None else started
        self.trials, self.comparisons, self.building = Pace(), Pace(), Pace()
        self.latency = 0.0
        self._afterwards = afterwards or (lambda build, run: 0.0)

    @property
    def elapsed(self) -> float:
        """Since the session started."""
        return time.monotonic() - self.started

    @property
    def trial(self) -> float:
        """What a trial takes."""
        return self.trials.mean(1.0)

    @property
    def comparison(self) -> float:
        """What comparing a kernel's fastest schedules takes."""
        return self.comparisons.mean(_COMPARED * self.building.mean(0.5) + _COMPARING)

    @property
    def afterwards(self) -> float:
        """What follows after the session."""
        return self._afterwards(self.building.mean(0.5), self.latency)

    def left_to_compare(self) -> float:
        """Seconds that comparisons may take."""
        return self.given - self.elapsed - min(self.afterwards, _MOST_RESERVED * self.given)

    def left_to_try(self, comparisons: int) -> float:
        """Seconds that trials may take, where so many comparisons follow."""
        following = comparisons * self.comparison + self.afterwards
        return self.given - self.elapsed - min(following, _MOST_RESERVED * self.given)

    def eta(self, trials: float, comparisons: int) -> float:
        """Seconds until all is done, where so many trials and comparisons follow."""
        ahead = trials * self.trial + comparisons * self.comparison + self.afterwards
        if math.isinf(self.given):
            return ahead
        return max(0.0, min(ahead, self.given - self.elapsed))
