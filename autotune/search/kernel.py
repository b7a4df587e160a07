"""One kernel in a tuning session: what is known of it, and what has to be compared."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.templates import registry

from ..records.record import Record, normal
from ..records.sources import Sources
from .history import History
from .proposals import KernelSearch
from .results import KernelResult

_FINALISTS = 3  # compared at once, since the very fastest may have been lucky
_LOOKED_AT = 16  # fastest records, which finalists are taken from
_HOLDS = 1.02  # so much faster than the best one compared a finalist must have looked


class Kernel(History):
    """A workload, how often the model runs it, and all that records tell of it."""

    def __init__(self, workload: Workload, count: int, target: Target, seed: int) -> None:
        super().__init__(workload, count)
        spaces = registry.spaces(workload, target)
        self.default = normal(spaces[0].default_schedule())
        self.search = KernelSearch(self, target, spaces, seed)
        self.winner: Record | None = None
        self.finalists: list[Record] = []
        self._compared: set[Schedule] = set()
        self.hints: list[Schedule] = []
        self.trials = 0
        self.dropped = 0
        self.failure = ""

    @property
    def work(self) -> float:
        """Operations of the kernel in one run of the model."""
        return float(self.count * self.flops)

    @property
    def default_seconds(self) -> float:
        """Of the default schedule; infinite before it ran."""
        return self.seconds.get(self.default, math.inf)

    @property
    def hoped(self) -> float:
        """Seconds that the model would win if the first finalist's time held."""
        if not self.finalists or not math.isfinite(self.default_seconds):
            return 0.0
        return self.count * (self.default_seconds - self.finalists[0].seconds)

    def compare(self, records: Sequence[Record]) -> None:
        """Learn from records of schedules timed in turns, the default first."""
        default, *others = records
        for record in records:
            self.learn(record.schedule, record.seconds)
            self._compared.add(record.schedule)
        self.dropped += sum(record.seconds >= default.seconds for record in others)

    def borrow(self, seconds: Mapping[Schedule, float]) -> None:
        """Learn what others measured on this kind of machine, in multiples of the default's."""
        if not math.isfinite(self.default_seconds):
            return
        for schedule, factor in seconds.items():
            if schedule not in self.hints:
                self.learn(schedule, factor * self.default_seconds)

    def look_up(self, sources: Sources) -> None:
        """See what the log says now: what wins, and what looks faster and was not compared."""
        self.winner = sources.winner(self.workload)
        ranked = list(itertools.islice(sources.ranked(self.workload), _LOOKED_AT))
        best = self.winner
        if best is None or (best.speedup is None and best.schedule != self.default):
            limit = math.inf  # nothing was compared, and the default is not the fastest
        else:
            limit = best.rank / _HOLDS
        known = {self.default, *self._compared}
        new = [r for r in ranked if r.schedule not in known and not _was_compared(r)]
        self.finalists = [r for r in new if r.rank < limit][:_FINALISTS]

    def fail(self, reason: str) -> None:
        """Give up on the kernel."""
        self.done, self.failure = True, reason

    def result(self) -> KernelResult:
        """What came out: of the last comparison with the default, where there was one."""
        best = self.winner
        default = self.default_seconds
        if best is not None and best.timing is not None and best.timing.default is not None:
            default = best.timing.default
        is_default = best is not None and best.schedule == self.default
        return KernelResult(
            workload=self.workload,
            count=self.count,
            default=default,
            best=best.seconds if best else math.inf,
            schedule=best.schedule if best else None,
            trials=self.trials,
            dropped=self.dropped,
            compared=is_default or (best is not None and _was_compared(best)),
            default_kept=is_default and self.trials > 1,
            failure=self.failure,
        )


def _was_compared(record: Record) -> bool:
    """Whether it was timed in turns with the default while the machine was quiet."""
    return record.speedup is not None and record.timing is not None and not record.timing.noisy
