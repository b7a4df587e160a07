"""Tuning a model's kernels: trials picked by the cost model, measured, and kept as records."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from luthier.schedules import Schedule, Target, UsageError, Workload
from luthier.schedules.counts import flops

from .budget import KernelState, Policy, next_kernel
from .interrupt import held_back
from .log import Log
from .measure import Limits, Measurement, Measurer, ReferenceFailed
from .model import CostModel, examples
from .record import Outcome, Record, normal
from .search import KernelSearch

_BATCH = 8
_REFIT = 1.5  # all kernels' trees grow anew when there are so many times more records
_FINAL_SECONDS = 1.0  # what measuring a winner again takes
_FINAL_SHARE = 0.25  # at most, of the time given
_FINALISTS = 3  # measured again together, since the very fastest may have been lucky
_FINAL_ROUNDS = 4  # in which all finalists may fall before a kernel is left as it is
_HOLDS = 1.02  # a confirmed winner so near the fastest record needs no further round


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
    """What a session did. ``outcomes`` counts its trials; all of them are in the log.

    ``foreign_records`` describe the same kernels on other kinds of machines and were not used;
    ``skipped_lines`` of the log could not be read, ``problems`` tells about the first few.
    """

    kernels: tuple[KernelResult, ...]
    trials: int
    seconds: float
    outcomes: Mapping[Outcome, int]
    interrupted: bool
    foreign_records: int
    skipped_lines: int
    problems: tuple[str, ...]

    @property
    def before(self) -> float:
        """Estimated model latency with default schedules, seconds."""
        return sum(k.count * k.default for k in self.kernels)

    @property
    def after(self) -> float:
        """Estimated model latency with the best schedules, seconds."""
        return sum(k.count * k.best for k in self.kernels)


def tune(
    workloads: Mapping[Workload, int],
    target: Target,
    trials: int,
    log: Log,
    *,
    minutes: float | None = None,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
    limits: Limits | None = None,
) -> TuneResult:
    """Measure up to ``trials`` schedules, within ``minutes``, and append each to ``log`` at once.

    ``workloads`` maps each kernel to how often the model runs it. Schedules that the log holds for
    this kind of machine are not measured again, so a session goes on where the last one ended. It
    ends early when no kernel promises anything more. Ctrl-C ends it too: the result then says
    ``interrupted``, and the winners have not been measured again.

    Raises UsageError, LogError where the log cannot be written, and ToolchainError.
    """
    if trials < 0 or (minutes is not None and not 0 < minutes < math.inf):
        raise UsageError("trials and minutes are positive; give --trials N or --minutes M")
    session = _Session(
        workloads=workloads,
        target=target,
        trials=trials,
        log=log,
        minutes=minutes,
        seed=seed,
        on_progress=on_progress,
    )
    try:
        with Measurer(target, seed=seed, limits=limits) as measurer:
            session.run(measurer)
    except KeyboardInterrupt:
        session.interrupted = True
    return session.result()


class _Kernel:
    """One kernel in a session."""

    def __init__(self, workload: Workload, count: int, target: Target, seed: int) -> None:
        from luthier.schedules import registry  # noqa: PLC0415 - imports TVM

        spaces = registry.spaces(workload, target)
        self.workload = workload
        self.default = normal(spaces[0].default_schedule())
        self.search = KernelSearch(workload, target, spaces, seed)
        self.state = KernelState(workload, count)
        self.default_seconds = math.inf
        self.best: Record | None = None
        self.trials = 0
        self.dropped = 0
        self.failure = ""

    def tell(self, record: Record) -> None:
        """Learn from a record, old or new."""
        self.search.tell(record.schedule, record.seconds)
        self.state.tell(record.seconds)
        if normal(record.schedule) == self.default:
            self.default_seconds = record.seconds

    def fail(self, reason: str) -> None:
        """Give up on the kernel."""
        self.state.done, self.failure = True, reason


class _Session:
    def __init__(
        self,
        *,
        workloads: Mapping[Workload, int],
        target: Target,
        trials: int,
        log: Log,
        minutes: float | None,
        seed: int,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.target, self.total, self.log = target, trials, log
        self.kernels = [_Kernel(w, n, target, seed) for w, n in workloads.items()]
        self.model = CostModel(seed=seed)
        self.policy = Policy()
        self.outcomes: Counter[Outcome] = Counter()
        self.started = time.monotonic()
        self.budget = minutes * 60 if minutes is not None else math.inf
        self.interrupted = False
        self.trials = 0
        self.foreign = sum(len(log.foreign(w, target)) for w in workloads)
        self._show = on_progress or (lambda progress: None)
        for kernel in self.kernels:
            for record in log.measured(kernel.workload, target).values():
                kernel.tell(record)
            kernel.best = log.best(kernel.workload, target)

    def run(self, measurer: Measurer) -> None:
        """Defaults first, then batches where they promise most, then the winners again."""
        for kernel in sorted(self.kernels, key=_work, reverse=True):
            if not math.isfinite(kernel.default_seconds) and self._may_go_on():
                self._trial(measurer, kernel, [kernel.default])
        while self._may_go_on():
            state = next_kernel([k.state for k in self.kernels], self.policy)
            if state is None:
                break
            kernel = next(k for k in self.kernels if k.state is state)
            with held_back():
                self._fit()
                proposed = self._proposed(kernel)
            self._trial(measurer, kernel, proposed)
            kernel.state.done |= kernel.search.exhausted
        for kernel in self.kernels:
            self._confirm(measurer, kernel)

    def _proposed(self, kernel: _Kernel) -> list[Schedule]:
        """The next batch; where trials bring nothing any more, single steps from the best."""
        wanted = min(_BATCH, self.total - self.trials)
        if kernel.state.stalled(self.policy) >= self.policy.descend:
            near = kernel.search.propose(wanted, self.model, near=True)
            if near:
                return near
        return kernel.search.propose(wanted, self.model)

    def result(self) -> TuneResult:
        """Everything so far."""
        kernels = tuple(_kernel_result(k) for k in self.kernels)
        seconds = time.monotonic() - self.started
        return TuneResult(
            kernels=kernels,
            trials=self.trials,
            seconds=seconds,
            outcomes=dict(self.outcomes),
            interrupted=self.interrupted,
            foreign_records=self.foreign,
            skipped_lines=self.log.skipped,
            problems=tuple(self.log.problems),
        )

    def _trial(self, measurer: Measurer, kernel: _Kernel, schedules: list[Schedule]) -> None:
        best = kernel.state.best if math.isfinite(kernel.state.best) else None
        try:
            for measurement in measurer.measure(kernel.workload, schedules, best):
                kernel.tell(self._keep(measurer, kernel, measurement))
                self.trials += 1
                kernel.trials += 1
                self.outcomes[measurement.outcome] += 1
                self._report("trials", kernel)
        except ReferenceFailed as failed:
            kernel.fail(f"its default schedule does not run ({failed})")

    def _keep(self, measurer: Measurer, kernel: _Kernel, measurement: Measurement) -> Record:
        record = measurer.record(kernel.workload, measurement)
        self.log.append(record)
        kernel.best = self.log.best(kernel.workload, self.target)
        return record

    def _fit(self) -> None:
        groups = self.log.groups(self.target)
        if sum(map(len, groups)) >= _REFIT * max(1, self.model.rows):
            self.model.fit(map(examples, groups))

    def _confirm(self, measurer: Measurer, kernel: _Kernel) -> None:
        """Measure the fastest again beside the default, until a winner holds."""
        confirmed: set[Schedule] = set()
        for _ in range(_FINAL_ROUNDS if kernel.trials else 0):
            ranked = list(islice(self.log.ranked(kernel.workload, self.target), _FINALISTS))
            near = [r for r in ranked if r.seconds <= _HOLDS * ranked[0].seconds]
            settled = not ranked or ranked[0].schedule == kernel.default
            if settled or any(r.schedule in confirmed for r in near):
                return
            known = {kernel.default, *confirmed}
            finalists = [r.schedule for r in ranked if r.schedule not in known]
            try:
                shown = measurer.compare(kernel.workload, [kernel.default, *finalists])
            except ReferenceFailed as failed:
                return kernel.fail(f"its default schedule does not run ({failed})")
            default, *winners = [self._keep(measurer, kernel, m) for m in shown]
            confirmed.update([kernel.default, *finalists])
            kernel.default_seconds = default.seconds
            kernel.dropped += sum(w.seconds >= default.seconds for w in winners)
            self._report("final", kernel)

    def _may_go_on(self) -> bool:
        return self.trials < self.total and self._time_left() > 0

    def _time_left(self) -> float:
        """Seconds for trials; what measuring the winners again takes is kept back."""
        final = min(_FINAL_SHARE * self.budget, _FINAL_SECONDS * len(self.kernels))
        spent = time.monotonic() - self.started
        return self.budget - spent - (final if math.isfinite(self.budget) else 0.0)

    def _report(self, stage: str, kernel: _Kernel) -> None:
        elapsed = time.monotonic() - self.started
        pace = elapsed / max(1, self.trials)
        left = min(pace * (self.total - self.trials), max(0.0, self._time_left()))
        result, shown = self.result(), _kernel_result(kernel)
        self._show(
            Progress(
                stage=stage,
                kernel=str(kernel.workload),
                trials=self.trials,
                total=self.total,
                kernel_default=shown.default,
                kernel_best=shown.best,
                before=result.before,
                after=result.after,
                elapsed=elapsed,
                eta=left if stage == "trials" else 0.0,
            )
        )


def _work(kernel: _Kernel) -> float:
    """Operations of the kernel in one run of the model."""
    return kernel.state.count * flops(kernel.workload)


def _kernel_result(kernel: _Kernel) -> KernelResult:
    return KernelResult(
        workload=kernel.workload,
        count=kernel.state.count,
        default=kernel.default_seconds,
        best=kernel.best.seconds if kernel.best else math.inf,
        schedule=kernel.best.schedule if kernel.best else None,
        trials=kernel.trials,
        dropped=kernel.dropped,
        failure=kernel.failure,
    )
