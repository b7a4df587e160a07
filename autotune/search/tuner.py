"""Tuning a model's kernels: trials picked by the cost model, measured, and kept as records."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from luthier.schedules import Schedule, UsageError, Workload
from luthier.schedules.interrupt import held_back

from ..measure.measurement import Measurement
from ..measure.measurer import Measurer, ReferenceFailed
from ..records.record import Outcome, Record, now
from ..records.sources import Sources
from .boosting import warm_up
from .budget import Policy, next_kernel, patience
from .clock import Clock
from .kernel import Kernel
from .model import CostModel, examples
from .results import Progress, TuneResult

_BATCH = 8
_REFIT = 1.5  # all kernels' trees grow anew when there are so many times more records
_FINAL_ROUNDS = 4  # in which all finalists may fall before a kernel is left as it is


def tune(
    workloads: Mapping[Workload, int],
    trials: int,
    sources: Sources,
    *,
    verify: bool = False,
    minutes: float | None = None,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
    policy: Policy | None = None,
    measurer: Measurer | None = None,
    clock: Clock | None = None,
) -> TuneResult:
    """Measure up to ``trials`` schedules, within ``minutes``, and add each to the log at once.

    ``workloads`` maps each kernel to how often the model runs it; the log is the one of
    ``sources`` that is written to. Schedules that it holds for this kind of machine are not
    measured again, so a session goes on where the last one ended. What won elsewhere comes first. A
    session ends early when no kernel promises anything more; minutes that are left then buy more
    patience. What looks faster than the default is timed in turns with it at the end. Ctrl-C ends a
    session too: the result then says ``interrupted``, and what it found has not been compared.

    ``verify``: measure nothing but what won elsewhere, in turns with the default, and search no
    further. ``measurer``: one for the sources' target, whose workers may be ready by now; it is
    closed at the end. ``clock``: the caller's, in place of ``minutes``.

    Raises UsageError, LogError where the log cannot be written, ToolchainError, and TargetError
    where there are fewer cores than threads.
    """
    if trials < 0 or (minutes is not None and not 0 < minutes < math.inf):
        raise UsageError("trials and minutes are positive; give --trials N or --minutes M")
    session = _Session(
        workloads=workloads,
        trials=trials,
        sources=sources,
        clock=clock or Clock(math.inf if minutes is None else 60 * minutes),
        seed=seed,
        on_progress=on_progress,
        policy=policy or Policy(),
    )
    try:
        with measurer or Measurer(sources.target, seed=seed) as workers:
            workers.cold = sources.cold
            session.clock.building = workers.building
            if verify:
                session.verify(workers)
            else:
                session.run(workers)
    except KeyboardInterrupt:
        session.interrupted = True
    return session.result()


class _Session:
    def __init__(
        self,
        *,
        workloads: Mapping[Workload, int],
        trials: int,
        sources: Sources,
        clock: Clock,
        seed: int,
        on_progress: Callable[[Progress], None] | None,
        policy: Policy,
    ) -> None:
        self.total, self.sources, self.clock = trials, sources, clock
        self.kernels = [Kernel(w, n, sources.target, seed) for w, n in workloads.items()]
        self.model = CostModel(seed=seed)
        self.policy = policy
        self.outcomes: Counter[Outcome] = Counter()
        self.interrupted = False
        self.trials = self.hints = 0
        self.unjudged: list[str] = []
        self.foreign = sum(map(sources.elsewhere, workloads))
        self._show = on_progress or (lambda progress: None)
        for kernel in self.kernels:
            for record in sources.measured(kernel.workload).values():
                kernel.tell(record.schedule, record.seconds)
            kernel.hints = sources.hints(kernel.workload)
            kernel.look_up(sources)

    def run(self, measurer: Measurer) -> None:
        """Defaults and what won elsewhere, then what promises most, then the winners again."""
        self._report("workers", "starting workers")
        warm_up()
        by_work = sorted(self.kernels, key=lambda kernel: -kernel.work)
        for kernel in by_work:
            if not math.isfinite(kernel.default_seconds) and self._may_go_on():
                self._trial(measurer, kernel, [kernel.default])
        for kernel in by_work:
            if kernel.hints and not kernel.done and self._may_go_on():
                self._trial(measurer, kernel, kernel.hints[: self.total - self.trials])
            kernel.borrow(self.sources.borrowed(kernel.workload))
        searching = True
        while searching:  # time kept back for comparisons that they did not take goes to trials
            searching = not self._search_patiently(measurer)
            self._confirm_all(measurer)
            searching = searching and self._may_go_on()

    def verify(self, measurer: Measurer) -> None:
        """Only what won elsewhere, in turns with the default."""
        for kernel in sorted(self.kernels, key=lambda kernel: -kernel.work):
            if kernel.hints and self._may_go_on():
                self._compare(measurer, kernel, kernel.hints, "trials")

    def result(self) -> TuneResult:
        """Everything so far."""
        return TuneResult(
            kernels=tuple(kernel.result() for kernel in self.kernels),
            trials=self.trials,
            seconds=self.clock.elapsed,
            outcomes=dict(self.outcomes),
            log=self.sources.name,
            interrupted=self.interrupted,
            hints=self.hints,
            foreign_records=self.foreign,
            skipped_records=self.sources.skipped,
            problems=(*self.sources.problems, *self._limits()),
        )

    def _limits(self) -> list[str]:
        """What was not recorded, since it says nothing about a schedule."""
        if not self.unjudged:
            return []
        count, first = len(self.unjudged), self.unjudged[0]
        return [f"limits of this machine ended {count} trials, which are not kept: {first}"]

    # ---- trials ----

    def _search_patiently(self, measurer: Measurer) -> bool:
        """Whether no kernel promises anything, even with the patience that minutes left buy."""
        again = self.policy.doublings if math.isfinite(self.clock.given) else 0
        return all(
            self._search(measurer, replace(self.policy, patience=self.policy.patience << doubled))
            for doubled in range(again + 1)
        )

    def _search(self, measurer: Measurer, policy: Policy) -> bool:
        """Batches where they promise most; whether no kernel promises anything more."""
        while self._may_go_on():
            kernel = next_kernel(self.kernels, policy)
            if kernel is None:
                return True
            self._report("trials", "learning from the records", kernel)
            with held_back():
                self._fit()
                proposed = self._proposed(kernel, policy)
            self._trial(measurer, kernel, proposed)
            kernel.done |= kernel.search.exhausted
        return False

    def _proposed(self, kernel: Kernel, policy: Policy) -> list[Schedule]:
        """The next batch; where trials bring nothing any more, single steps from the best."""
        in_time = self._time_left() / self.clock.trial
        wanted = int(max(1, min(_BATCH, self.total - self.trials, in_time)))
        given = patience(self.kernels, policy)
        if kernel.stalled(policy.notable) >= policy.descend * given[self.kernels.index(kernel)]:
            near = kernel.search.propose(wanted, self.model, near=True)
            if near:
                return near
        return kernel.search.propose(wanted, self.model)

    def _trial(self, measurer: Measurer, kernel: Kernel, schedules: Sequence[Schedule]) -> None:
        best = kernel.best if math.isfinite(kernel.best) else None
        begin = time.monotonic()
        self._report("trials", f"building {len(schedules)}", kernel)
        try:
            for measurement in measurer.measure(kernel.workload, schedules, best):
                record = self._keep(measurer, kernel, measurement)
                kernel.tell(record.schedule, record.seconds)
                kernel.look_up(self.sources)
                self._count(kernel, measurement)
                self._report("trials", "measuring", kernel)
        except ReferenceFailed as failed:
            kernel.fail(f"its default schedule does not run ({failed})")
        self.clock.trials.add(time.monotonic() - begin, len(schedules))

    def _count(self, kernel: Kernel, measurement: Measurement) -> None:
        self.trials += 1
        kernel.trials += 1
        self.hints += measurement.schedule in kernel.hints
        self.outcomes[measurement.outcome] += 1

    def _keep(
        self, measurer: Measurer, kernel: Kernel, measurement: Measurement, at: str | None = None
    ) -> Record:
        record = measurer.record(kernel.workload, measurement, at)
        if measurement.limit:
            self.unjudged.append(f"{kernel.workload}: {measurement.detail}")
        else:
            self.sources.add(record)
        return record

    def _fit(self) -> None:
        if self.sources.count() >= _REFIT * max(1, self.model.rows):
            self.model.fit(map(examples, self.sources.groups()))

    # ---- comparisons ----

    def _confirm_all(self, measurer: Measurer) -> None:
        """Compare what looks faster than the default, in the kernels that it wins most first."""
        waiting = sorted(self._unsure(), key=lambda kernel: -kernel.hoped)
        for number, kernel in enumerate(waiting):
            share = self.clock.left_to_compare() / (len(waiting) - number)
            self._confirm(measurer, kernel, time.monotonic() + share)

    def _confirm(self, measurer: Measurer, kernel: Kernel, deadline: float) -> None:
        """Time the fastest in turns with the default and what won before, until a winner holds.

        Where time is short, one in a round; where none is left, nothing.
        """
        for _ in range(_FINAL_ROUNDS):
            if not kernel.finalists or self.clock.left_to_compare() <= 0:
                return
            late = time.monotonic() + self.clock.comparison > deadline
            finalists = [r.schedule for r in kernel.finalists[: 1 if late else None]]
            won = kernel.winner.schedule if kernel.winner and kernel.winner.speedup else None
            known = [won] if won not in (None, kernel.default, *finalists) else []
            self._compare(measurer, kernel, [*known, *finalists], "confirm")

    def _compare(
        self, measurer: Measurer, kernel: Kernel, schedules: Sequence[Schedule | None], stage: str
    ) -> None:
        """Measure schedules in turns with the default; as trials, if the stage says so."""
        others = [schedule for schedule in schedules if schedule is not None]
        begin, at = time.monotonic(), now()
        self._report(stage, f"timing {len(others)} beside the default", kernel)
        try:
            shown = measurer.compare(kernel.workload, [kernel.default, *others])
        except ReferenceFailed as failed:
            return kernel.fail(f"its default schedule does not run ({failed})")
        records = [self._keep(measurer, kernel, m, at) for m in shown]
        kernel.compare(records)
        for measurement in shown if stage == "trials" else ():
            self._count(kernel, measurement)
        kernel.look_up(self.sources)
        self.clock.comparisons.add(time.monotonic() - begin)
        return self._report(stage, "compared", kernel)

    # ---- time ----

    def _unsure(self) -> list[Kernel]:
        return [k for k in self.kernels if k.finalists and not k.failure]

    def _may_go_on(self) -> bool:
        """A session in which nothing is tried, however short, would be of no use."""
        return self.trials < self.total and (not self.trials or self._time_left() > 0)

    def _time_left(self) -> float:
        """Seconds for trials; what comparing the winners takes is kept back, one more's too."""
        return self.clock.left_to_try(len(self._unsure()) + 1)

    def _report(self, stage: str, doing: str, kernel: Kernel | None = None) -> None:
        result, shown = self.result(), kernel and kernel.result()
        if math.isfinite(result.before):
            self.clock.latency = result.before
        trials = self.total - self.trials if stage in ("workers", "trials") else 0
        self._show(
            Progress(
                stage=stage,
                doing=doing,
                kernel=str(kernel.workload) if kernel else "",
                trials=self.trials,
                total=self.total,
                kernel_default=shown.default if shown else math.inf,
                kernel_best=shown.best if shown else math.inf,
                before=result.before,
                after=result.after,
                elapsed=self.clock.elapsed,
                eta=self.clock.eta(trials, len(self._unsure())),
            )
        )
