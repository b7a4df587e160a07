"""What is known of one kernel: the times of its schedules, and how the best of them fell."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

from luthier.schedules import Schedule, Workload
from luthier.schedules.ops.counts import flops, traffic

from ..records.record import normal


@dataclass(eq=False)
class History:
    """A kernel that runs ``count`` times in the model.

    ``curve`` has the best seconds after each trial. ``seconds`` are what is thought of each
    schedule, in ``normal`` order, infinite where it failed: of its trial, or known better since.
    """

    workload: Workload
    count: int = 1
    curve: list[float] = field(default_factory=list)
    seconds: dict[Schedule, float] = field(default_factory=dict)
    done: bool = False  # its space is exhausted, or it cannot be measured

    @cached_property
    def flops(self) -> int:
        """Operations of one run."""
        return flops(self.workload)

    @cached_property
    def traffic(self) -> int:
        """Bytes that one run moves at least."""
        return traffic(self.workload)

    @property
    def best(self) -> float:
        """Seconds of the fastest trial; infinite before one succeeded."""
        return self.curve[-1] if self.curve else math.inf

    def tell(self, schedule: Schedule, seconds: float) -> None:
        """A trial took so long (infinite: it failed), now or in an earlier session."""
        self.curve.append(min(self.best, seconds))
        self.learn(schedule, seconds)

    def learn(self, schedule: Schedule, seconds: float) -> None:
        """It is known without a trial: from a comparison, or from others."""
        self.seconds[normal(schedule)] = seconds

    def stalled(self, notable: float) -> int:
        """Trials since the kernel was slower than it is now by more than a ``notable`` fraction."""
        limit = self.best / (1 - notable)
        for trials, seconds in enumerate(reversed(self.curve)):
            if seconds > limit:
                return trials - 1
        return len(self.curve) - 1
