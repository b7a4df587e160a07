"""What a tuning session tells while it runs, and at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from luthier.schedules import Schedule, Workload

from ..records.record import Outcome


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows, whenever something begins or is done. Times are seconds.

    ``stage`` is one of STAGES, ``doing`` says what it is at. ``before`` and ``after`` are the
    model's estimated latency with default and with the best schedules so far: the sum over its
    kernels, infinite until each was measured once. ``eta`` is until all stages are done, infinite
    where nobody can say yet.
    """

    stage: str
    doing: str = ""
    kernel: str = ""
    trials: int = 0
    total: int = 0
    kernel_default: float = math.inf
    kernel_best: float = math.inf
    before: float = math.inf
    after: float = math.inf
    elapsed: float = 0.0
    eta: float = math.inf


# In their order: the model is imported while workers start; trials; winners are timed in turns with
# the defaults; so is the whole model; the library is built, where that was asked for.
STAGES = ("import", "workers", "trials", "confirm", "model", "build")


@dataclass(frozen=True)
class KernelResult:
    """A kernel after tuning. Seconds are infinite, and ``schedule`` None, where nothing ran.

    ``default`` and ``best`` were timed in turns where ``compared``; else they are of different or
    noisy moments, and nobody knows what was won. ``default_kept``: no schedule that was tried beat
    the default. ``trials`` were made in this session; ``dropped`` finalists were no faster than the
    default; ``failure`` says why a kernel could not be tuned.
    """

    workload: Workload
    count: int
    default: float
    best: float
    schedule: Schedule | None
    trials: int
    dropped: int
    compared: bool
    default_kept: bool
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

    @property
    def compared(self) -> bool:
        """Whether ``before`` and ``after`` compare: see ``KernelResult``."""
        return all(kernel.compared for kernel in self.kernels if kernel.schedule)

    @property
    def defaults_kept(self) -> int:
        """Of how many kernels the default was tried against others and not beaten."""
        return sum(kernel.default_kept for kernel in self.kernels)
