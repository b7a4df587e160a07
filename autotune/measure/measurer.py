"""Measuring candidates: build a batch on all cores, then time one after the other, undisturbed.

Builds and timings never overlap: with as many worker threads as cores, any build would slow the
kernel that is being timed. Whatever a candidate does, it costs that candidate alone.

A failure is held against a schedule only if it comes twice, in a fresh process the second time, and
the kernel's default schedule runs right after it: else it is the machine's.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from luthier.schedules import Schedule, Target, Tensor, ToolchainError, Workload, node
from luthier.schedules.target import check_cores
from luthier.schedules.templates import registry
from luthier.schedules.temporary import TemporaryFolder

from ..records.closing import Closing
from ..records.machine import Machine
from ..records.record import Outcome, Record, normal
from .builders import Builders
from .harness import Effort, compile_harness
from .measurement import Measurement, is_quiet, recorded, side_by_side
from .messages import Build, Failed, Ran, RunRequest
from .pace import Pace
from .worker import Worker, WorkerLost

_ROOM = 1 << 30  # bytes of packed constants on the disk at once
_JUDGED = (Outcome.OK, Outcome.WRONG_RESULT)  # by what was computed; else it may be the machine


@dataclass(frozen=True)
class Limits:
    """Seconds that a candidate may take to build, and to load, check and time.

    ``trial`` and ``final`` say how hard to time a candidate and a winner.
    """

    build: float = 20.0
    run: float = 10.0
    trial: Effort = field(default_factory=Effort)
    final: Effort = field(
        default_factory=lambda: Effort(least=8, most=200, precision=0.005, seconds=0.05)
    )


class ReferenceFailed(Exception):  # noqa: N818 - an event, handled inside this room
    """The kernel's default schedule does not run, so that nothing can be checked against it.

    The simplest kernel does: it is not all of the machine that fails.
    """


class Measurer(Closing):
    """Worker processes and a folder for one tuning session; a context manager.

    ``cold``: constant inputs are flushed from the caches before each timed run. Between two runs of
    a kernel a model runs all its others, whose weights take the caches, unless all fit in them.
    ``swept``: not flushed, but the caches that a core has for itself are, so that weights come from
    the shared ones. Both may be set between measurements; ``cold`` counts where both are.
    ``building`` tells how long a candidate takes to build.
    """

    def __init__(
        self,
        target: Target,
        *,
        seed: int = 0,
        limits: Limits | None = None,
        cold: bool = True,
        swept: bool = False,
        builders: int | None = None,
    ) -> None:
        """Start the builders and compile the timing loop.

        Raises ToolchainError where there is no C compiler, and TargetError where this process may
        use fewer cores than the target has threads.
        """
        check_cores(target.threads)
        self.target, self.cold, self.swept = target, cold, swept
        self.limits = limits or Limits()
        self._seed = seed
        self._machine = Machine.host(target)
        self._temporary = TemporaryFolder()
        self._folder = self._temporary.path
        self._references: dict[str, Path] = {}
        self._runner: Worker | None = None
        self._builders = Builders(target, seed, self._folder, builders)
        self.building = Pace()
        try:
            self._builders.start()
            self._harness = compile_harness(self._folder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the workers and what they run, and delete the folder; harmless when repeated."""
        self._stop_runner()
        self._builders.close()
        self._temporary.close()

    def measure(
        self, workload: Workload, schedules: Sequence[Schedule], best: float | None = None
    ) -> Iterator[Measurement]:
        """Measure each schedule; yields as soon as one is done, in their order.

        ``best`` (seconds) lets the timing stop early for what is slower. Raises
        ReferenceFailed, ToolchainError where the machine fails what is known to run, and
        TargetError where cores were taken away meanwhile: what was timed then is dropped.
        """
        effort = replace(self.limits.trial, best=best or 0.0)
        for group in _groups(workload, schedules):
            with self._built(workload, group) as built:
                self._ensure_reference(workload, group)
                for schedule, build in zip(group, built, strict=True):
                    yield self._judged(workload, schedule, build, effort)

    def compare(
        self, workload: Workload, schedules: Sequence[Schedule], rounds: int = 5
    ) -> list[Measurement]:
        """Time the schedules in turns, several rounds, in a fresh runner; samples are merged.

        The first is what the others must beat: all tell its time ``beside`` theirs. Rounds in which
        something kept the machine busy are repeated, once each; where it never was quiet, all are
        ``disturbed``.
        """
        self._stop_runner()
        self._ensure_reference(workload, schedules)
        done: list[list[Measurement]] = []
        with self._built(workload, schedules) as built:
            while len(done) < 2 * rounds and sum(map(is_quiet, done)) < rounds:
                last = done[-1] if done else [None] * len(schedules)
                done.append(
                    [
                        self._judged(workload, schedule, build, self.limits.final)
                        if before is None or before.samples
                        else before  # it failed: once is enough
                        for before, schedule, build in zip(last, schedules, built, strict=True)
                    ]
                )
        return side_by_side(done)

    def record(
        self, workload: Workload, measurement: Measurement, time: str | None = None
    ) -> Record:
        """The measurement as the log keeps it; what was timed in turns gets one ``time``."""
        return recorded(workload, self._machine, measurement, cold=self.cold, time=time)

    def _ensure_reference(self, workload: Workload, coming: Sequence[Schedule]) -> None:
        """Have the default schedule's output on the disk, unless it runs first anyway."""
        default = self._default(workload)
        if workload.key in self._references or (coming and normal(coming[0]) == default):
            return
        shown = self._default_run(workload)
        if shown.outcome is not Outcome.OK:
            self._blame(workload, default, shown)

    def _default(self, workload: Workload) -> Schedule:
        return normal(registry.default(workload, self.target))

    def _default_run(self, workload: Workload) -> Measurement:
        """Build and run the default schedule, untimed; where that fails, once more."""
        default = self._default(workload)
        with self._built(workload, [default]) as built:
            return self._run_twice(workload, default, built[0], None)

    def _judged(
        self, workload: Workload, schedule: Schedule, build: Build, effort: Effort | None
    ) -> Measurement:
        """Run one candidate; a failure is its own, or else told by an exception or ``limit``."""
        shown = self._run_twice(workload, schedule, build, effort)
        if shown.outcome not in _JUDGED:
            self._blame(workload, schedule, shown)
        return shown

    def _run_twice(
        self, workload: Workload, schedule: Schedule, build: Build, effort: Effort | None
    ) -> Measurement:
        """Run; once more in a fresh runner where it failed. The builders try twice themselves."""
        shown = self._run(workload, schedule, build, effort)
        if shown.outcome in _JUDGED or isinstance(build, Failed):
            return shown
        self._stop_runner()
        return self._run(workload, schedule, build, effort)

    def _blame(self, workload: Workload, schedule: Schedule, failed: Measurement) -> None:
        """Raise where it is the machine that fails, or the kernel's default schedule."""
        is_default = normal(schedule) == self._default(workload)
        control = self._default_run(_SIMPLEST if is_default else workload)
        if control.outcome is not Outcome.OK:
            raise ToolchainError(
                f"kernels cannot be measured on this machine at present: {control.detail}; look at "
                f"its memory, the disk of '{self._folder.parent}' and 'ulimit -a'"
            )
        if is_default:
            raise ReferenceFailed(f"{failed.outcome.value}: {failed.detail}")

    def _stop_runner(self) -> None:
        if self._runner is not None:
            self._runner.stop()
            self._runner = None

    @contextlib.contextmanager
    def _built(self, workload: Workload, schedules: Sequence[Schedule]) -> Iterator[list[Build]]:
        """What the builders say of each schedule; their files go when the context ends."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            begin = time.monotonic()
            built = self._build(workload, schedules, folder)
            self.building.add(time.monotonic() - begin, len(schedules))
            yield built
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _build(
        self, workload: Workload, schedules: Sequence[Schedule], folder: Path
    ) -> list[Build]:
        return self._builders.build(workload, schedules, folder, self.limits.build)

    def _run(
        self, workload: Workload, schedule: Schedule, build: Build, effort: Effort | None
    ) -> Measurement:
        """Run, check and (with an effort) time one candidate."""
        if isinstance(build, Failed):
            return Measurement(schedule, build.outcome, detail=build.detail, limit=build.limit)
        reference = self._references.get(workload.key)
        store = None if reference else self._folder / f"{workload.key}.reference"
        request = RunRequest(
            built=build,
            workload=workload.text,
            target=self.target.machine,
            seed=self._seed,
            harness=str(self._harness),
            reference=None if reference is None else str(reference),
            store=None if store is None else str(store),
            effort=effort,
            cold=self.cold,
            swept=self.swept and not self.cold,
            timeout=self.limits.run,
        )
        ran = self._ask_runner(request)
        check_cores(self.target.threads, ran.cores)
        if store and ran.outcome is Outcome.OK:
            self._references[workload.key] = store
        return Measurement(schedule, ran.outcome, ran.samples, ran.detail, ran.disturbed, ran.limit)

    def _ask_runner(self, request: RunRequest) -> Ran:
        if self._runner is None:
            self._runner = Worker("luthier.autotune.measure.runner", self._folder)
        try:
            self._runner.send(request)
            return self._runner.receive(time.monotonic() + self.limits.run + 30, Ran)
        except WorkerLost as lost:
            self._runner = None  # it outlives what its children do: this is not a schedule's fault
            outcome = Outcome.TIMED_OUT if lost.timed_out else Outcome.CRASHED
            return Ran(outcome, f"the runner {lost}", limit=True)


_SIMPLEST = Workload((Tensor((1,)),), (False,), (node("relu", (0,), Tensor((1,))),))


def _groups(workload: Workload, schedules: Sequence[Schedule]) -> Iterator[Sequence[Schedule]]:
    """As many at once as the disk has room for their weights."""
    constants = zip(workload.inputs, workload.constants, strict=True)
    nbytes = sum(tensor.nbytes for tensor, constant in constants if constant)
    step = max(1, min(len(schedules), _ROOM // max(1, nbytes)))
    for i in range(0, len(schedules), step):
        yield schedules[i : i + step]
