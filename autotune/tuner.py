"""Tuning a model's kernels: trials picked by the cost model, measured, and kept as records."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice

from luthier.schedules import Schedule, Target, UsageError, Workload

from .boosting import warm_up
from .budget import KernelState, Policy, next_kernel, patience
from .interrupt import held_back
from .layers import Layers
from .measure import Measurement, Measurer, ReferenceFailed
from .model import CostModel, examples
from .record import Outcome, Record, normal
from .results import KernelResult, Progress, TuneResult
from .search import KernelSearch

_BATCH = 8
_REFIT = 1.5  # all kernels' trees grow anew when there are so many times more records
_FINAL_SECONDS = 6.0  # what measuring the winners of a kernel again takes
_FINAL_SHARE = 0.4  # at most, of the time given
_FINALISTS = 3  # measured again together, since the very fastest may have been lucky
_FINAL_ROUNDS = 4  # in which all finalists may fall before a kernel is left as it is
_HOLDS = 1.02  # a confirmed winner so near the fastest record needs no further round


def tune(
    workloads: Mapping[Workload, int],
    trials: int,
    layers: Layers,
    *,
    verify: bool = False,
    minutes: float | None = None,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
    policy: Policy | None = None,
    measurer: Measurer | None = None,
) -> TuneResult:
    """Measure up to ``trials`` schedules, within ``minutes``, and add each to the log at once.

    ``workloads`` maps each kernel to how often the model runs it; the log is the layers' own store.
    Schedules that it holds for this kind of machine are not measured again, so a session goes on
    where the last one ended. What won elsewhere comes first. A session ends early when no kernel
    promises anything more; minutes that are left then buy more patience. Ctrl-C ends it too: the
    result then says ``interrupted``, and the winners have not been measured again.

    ``verify``: measure nothing but what won elsewhere, in turns with the default, and search no
    further. ``measurer``: one for the layers' target, whose workers may be ready by now; it is
    closed at the end.

    Raises UsageError, LogError where the log cannot be written, and ToolchainError.
    """
    if trials < 0 or (minutes is not None and not 0 < minutes < math.inf):
        raise UsageError("trials and minutes are positive; give --trials N or --minutes M")
    session = _Session(
        workloads=workloads,
        trials=trials,
        layers=layers,
        minutes=minutes,
        seed=seed,
        on_progress=on_progress,
        policy=policy or Policy(),
    )
    try:
        with measurer or Measurer(layers.target, seed=seed) as workers:
            if verify:
                session.verify(workers)
            else:
                session.run(workers)
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
        self.hints: list[Schedule] = []
        self.trials = 0
        self.dropped = 0
        self.failure = ""

    def tell(self, record: Record) -> None:
        """Learn from a record, old or new."""
        self.search.tell(record.schedule, record.seconds)
        self.state.tell(record.seconds)
        if normal(record.schedule) == self.default:
            self.default_seconds = record.seconds

    def borrow(self, seconds: Mapping[Schedule, float]) -> None:
        """Learn what others measured on this kind of machine, in multiples of the default's."""
        if not math.isfinite(self.default_seconds):
            return
        for schedule, factor in seconds.items():
            if schedule not in self.hints:
                self.search.tell(schedule, factor * self.default_seconds)

    def fail(self, reason: str) -> None:
        """Give up on the kernel."""
        self.state.done, self.failure = True, reason


class _Session:
    def __init__(
        self,
        *,
        workloads: Mapping[Workload, int],
        trials: int,
        layers: Layers,
        minutes: float | None,
        seed: int,
        on_progress: Callable[[Progress], None] | None,
        policy: Policy,
    ) -> None:
        self.total, self.layers = trials, layers
        self.kernels = [_Kernel(w, n, layers.target, seed) for w, n in workloads.items()]
        self.model = CostModel(seed=seed)
        self.policy = policy
        self.outcomes: Counter[Outcome] = Counter()
        self.started = time.monotonic()
        self.budget = minutes * 60 if minutes is not None else math.inf
        self.interrupted = False
        self.trials = self.hints = 0
        self.unjudged: list[str] = []
        self.foreign = sum(map(layers.elsewhere, workloads))
        self._show = on_progress or (lambda progress: None)
        for kernel in self.kernels:
            for record in layers.measured(kernel.workload).values():
                kernel.tell(record)
            kernel.best = next(layers.ranked(kernel.workload), None)
            kernel.hints = layers.hints(kernel.workload)

    def run(self, measurer: Measurer) -> None:
        """Defaults and what won elsewhere, then what promises most, then the winners again."""
        warm_up()
        by_work = sorted(self.kernels, key=_work, reverse=True)
        for kernel in by_work:
            if not math.isfinite(kernel.default_seconds) and self._may_go_on():
                self._trial(measurer, kernel, [kernel.default])
        for kernel in by_work:
            if kernel.hints and not kernel.state.done and self._may_go_on():
                self._trial(measurer, kernel, kernel.hints[: self.total - self.trials])
            kernel.borrow(self.layers.borrowed(kernel.workload))
        again = self.policy.doublings if math.isfinite(self.budget) else 0
        for doubled in range(again + 1):
            self._search(measurer, replace(self.policy, patience=self.policy.patience << doubled))
        tried = [kernel for kernel in self.kernels if kernel.trials]
        for number, kernel in enumerate(tried):
            now = time.monotonic()
            left = max(0.0, self.started + self.budget - now)
            self._confirm(measurer, kernel, now + left / (len(tried) - number))

    def _search(self, measurer: Measurer, policy: Policy) -> None:
        """Batches where they promise most, until no kernel promises anything."""
        while self._may_go_on():
            state = next_kernel([k.state for k in self.kernels], policy)
            if state is None:
                return
            kernel = next(k for k in self.kernels if k.state is state)
            with held_back():
                self._fit()
                proposed = self._proposed(kernel, policy)
            self._trial(measurer, kernel, proposed)
            kernel.state.done |= kernel.search.exhausted

    def verify(self, measurer: Measurer) -> None:
        """Only what won elsewhere, in turns with the default."""
        for kernel in sorted(self.kernels, key=_work, reverse=True):
            if kernel.hints and self._may_go_on():
                self._compare(measurer, kernel, kernel.hints, "trials")

    def _proposed(self, kernel: _Kernel, policy: Policy) -> list[Schedule]:
        """The next batch; where trials bring nothing any more, single steps from the best."""
        wanted = min(_BATCH, self.total - self.trials)
        given = patience([k.state for k in self.kernels], policy)
        if kernel.state.stalled(policy) >= policy.descend * given[self.kernels.index(kernel)]:
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
            log=self.layers.name,
            interrupted=self.interrupted,
            hints=self.hints,
            foreign_records=self.foreign,
            skipped_records=self.layers.skipped,
            problems=(*self.layers.problems, *self._limits()),
        )

    def _limits(self) -> list[str]:
        """What was not recorded, since it says nothing about a schedule."""
        if not self.unjudged:
            return []
        count, first = len(self.unjudged), self.unjudged[0]
        return [f"limits of this machine ended {count} trials, which are not kept: {first}"]

    def _trial(self, measurer: Measurer, kernel: _Kernel, schedules: list[Schedule]) -> None:
        best = kernel.state.best if math.isfinite(kernel.state.best) else None
        try:
            for measurement in measurer.measure(kernel.workload, schedules, best):
                kernel.tell(self._keep(measurer, kernel, measurement))
                self._count(kernel, measurement)
                self._report("trials", kernel)
        except ReferenceFailed as failed:
            kernel.fail(f"its default schedule does not run ({failed})")

    def _count(self, kernel: _Kernel, measurement: Measurement) -> None:
        self.trials += 1
        kernel.trials += 1
        self.hints += measurement.schedule in kernel.hints
        self.outcomes[measurement.outcome] += 1

    def _keep(self, measurer: Measurer, kernel: _Kernel, measurement: Measurement) -> Record:
        record = measurer.record(kernel.workload, measurement)
        if measurement.limit:
            self.unjudged.append(f"{kernel.workload}: {measurement.detail}")
        else:
            self.layers.add(record)
        kernel.best = next(self.layers.ranked(kernel.workload), None)
        return record

    def _fit(self) -> None:
        if self.layers.count() >= _REFIT * max(1, self.model.rows):
            self.model.fit(map(examples, self.layers.groups()))

    def _confirm(self, measurer: Measurer, kernel: _Kernel, deadline: float) -> None:
        """Measure the fastest again beside the default, until a winner holds.

        After the deadline, one in a round.
        """
        confirmed: set[Schedule] = set()
        for _ in range(_FINAL_ROUNDS):
            late = time.monotonic() >= deadline
            ranked = list(islice(self.layers.ranked(kernel.workload), _FINALISTS))
            near = [r for r in ranked if r.seconds <= _HOLDS * ranked[0].seconds]
            settled = not ranked or ranked[0].schedule == kernel.default
            if settled or any(r.schedule in confirmed for r in near):
                return
            known = {kernel.default, *confirmed}
            finalists = [r.schedule for r in ranked if r.schedule not in known]
            finalists = finalists[: 1 if late else None]
            self._compare(measurer, kernel, finalists, "final")
            confirmed.update([kernel.default, *finalists])

    def _compare(
        self, measurer: Measurer, kernel: _Kernel, schedules: list[Schedule], stage: str
    ) -> None:
        """Measure schedules in turns with the default; as trials, if the stage says so."""
        try:
            shown = measurer.compare(kernel.workload, [kernel.default, *schedules])
        except ReferenceFailed as failed:
            return kernel.fail(f"its default schedule does not run ({failed})")
        default, *others = [self._keep(measurer, kernel, m) for m in shown]
        kernel.default_seconds = default.seconds
        kernel.dropped += sum(other.seconds >= default.seconds for other in others)
        for measurement in shown if stage == "trials" else ():
            self._count(kernel, measurement)
        return self._report(stage, kernel)

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
    return kernel.state.count * kernel.state.flops


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
