"""What a tuning session tells while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from luthier.schedules import Schedule, Workload

from .record import Outcome


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows, after each trial. Times are seconds.

    ``stage`` is "trials" or "final" (winners are measured again beside the defaults). ``before``
    and ``after`` are the model's estimated latency with default and with the best schedules: the
    sum over its kernels, infinite until each was measured once.
    """

    stage: str
    kernel: str
    trials: int
    total: int
    kernel_default: float
    kernel_best: float
    before: float
    after: float
    elapsed: float
    eta: float


@dataclass(frozen=True)
class KernelResult:
    """A kernel after tuning. Seconds are infinite, and ``schedule`` None, where nothing ran.

    ``trials`` were made in this session; ``dropped`` winners did not hold when measured again;
    ``failure`` says why a kernel could not be tuned.
    """

    workload: Workload
    count: int
    default: float
    best: float
    schedule: Schedule | None
    trials: int
    dropped: int
    failure: str = ""


@dataclass(frozen=True)
class TuneResult:
    """What a session did. ``outcomes`` counts its trials; all of them are in ``log``.

    ``hints`` of them were winners elsewhere. ``foreign_records`` describe the same kernels on other
    kinds of machines; ``skipped_records`` could not be read, ``problems`` tells about some of them.
    """

    kernels: tuple[KernelResult, ...]
    trials: int
    seconds: float
    outcomes: Mapping[Outcome, int]
    log: str
    interrupted: bool
    hints: int
    foreign_records: int
    skipped_records: int
    problems: tuple[str, ...]

    @property
    def before(self) -> float:
        """Estimated model latency with default schedules, seconds."""
        return sum(k.count * k.default for k in self.kernels)

    @property
    def after(self) -> float:
        """Estimated model latency with the best schedules, seconds."""
        return sum(k.count * k.best for k in self.kernels)
