"""Tune: from a model to records of its kernels, and what they do for the model."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from luthier.autotune import Choice, Progress, TuneResult
from luthier.autotune import tune as tune_workloads
from luthier.autotune.measure.measurer import Measurer
from luthier.autotune.search.clock import Clock
from luthier.autotune.search.results import KernelResult
from luthier.frontend import (
    Bounds,
    Entry,
    Postprocessing,
    Preprocessing,
    ReadModel,
    Shapes,
    StateNames,
    import_entries,
)
from luthier.schedules import Target, Workload
from luthier.schedules.target import DEFAULT_ACCURACY, check_cores, check_measurable
from luthier.schedules.toolchain import find_compiler

from ..arguments import FilePath, validated
from ..inputs.points import Models, Values, read_all
from ..inputs.samples import inputs_at
from ..machine.target import resolve
from ..records.runs import At, Run, all_runs, counts, largest, named
from ..records.sources import DEFAULT_LOG, choices, selections, writing
from .footprint import stays_in_cache, stays_in_own_cache
from .judge import Decision, Verdict, judge
from .timed import LEAST_TURNS, SECONDS, TURN

Show = Callable[[Progress], None]

DEFAULT_TRIALS = 1000
_UNLIMITED = 1 << 40  # trials, where only the time is limited
_SAMPLE_SEED = 0
_JUDGED = 3  # libraries that time is kept for: defaults, winners, and what is close to them
_LINKING = 1.0  # seconds that a library takes, besides its kernels


@dataclass(frozen=True)
class EntryTuned:
    """An entry point among several: its kernels, with how often it calls each, and its ``sizes``,
    where its model leaves some open.

    ``model_before`` and ``model_after`` are of a run of it, as in ``TuneReport``.
    """

    name: str
    kernels: tuple[KernelResult, ...]
    sizes: tuple[str, ...]
    model_before: float | None
    model_after: float | None

    @property
    def before(self) -> float:
        """Estimated latency with default schedules, seconds."""
        return sum(k.count * k.default for k in self.kernels)

    @property
    def after(self) -> float:
        """Estimated latency with the best schedules, seconds."""
        return sum(k.count * k.best for k in self.kernels)


@dataclass(frozen=True)
class TuneReport(TuneResult):
    """What a session did, and what became of the model.

    ``model_before`` and ``model_after`` are the median seconds of a run of the whole model with
    default and with the best schedules, timed in turns; None where that was not asked for, the
    session was interrupted, the defaults are the best, or no time was left. Where it was no faster
    with the best, ``model_kept_defaults``, and a build from the log will, too. ``model_decided``
    counts the kernels that get another schedule than won when they were timed alone.
    ``model_busy``: something else kept the machine busy, so that the two times say little.
    ``sizes`` are those that kernels were tuned at, where the model leaves some open: times are of a
    run with each, and the whole model's are of the largest. Of several models all times are of all
    together, ``sizes`` begin with an entry point's name, and ``entries`` tell of each.
    """

    model_before: float | None = None
    model_after: float | None = None
    model_kept_defaults: bool = False
    model_decided: int = 0
    model_busy: bool = False
    sizes: tuple[str, ...] = ()
    entries: tuple[EntryTuned, ...] = ()


@validated
def tune(
    model: Models,
    target: str | Target = "host",
    *,
    trials: int | None = None,
    minutes: float | None = None,
    log: FilePath = DEFAULT_LOG,
    packs: Sequence[FilePath] = (),
    verify: bool = False,
    threads: int | None = None,
    shapes: Shapes | None = None,
    values: Values | None = None,
    outputs: Sequence[str] | None = None,
    state: StateNames | None = None,
    bounds: Bounds | None = None,
    example_inputs: Any = None,
    preprocess: Preprocessing | None = None,
    postprocess: Postprocessing | None = None,
    at: At | None = None,
    accuracy: str = DEFAULT_ACCURACY,
    seed: int = 0,
    timed: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> TuneReport:
    """Measure schedules of the model's kernels on this machine and add the records to ``log``.

    ``log`` is a file's path or a ``postgresql://`` URL. Stops after ``trials`` measurements
    (default: 1000, or no limit where ``minutes`` is given) or after ``minutes``. Records of earlier
    runs are used and not measured again; what won on other machines, says the log, a pack or what
    ships with Luthier, is tried first. ``verify``: that alone, in turns with the defaults, at most
    four trials a kernel. Schedules that are less exact than ``accuracy`` ("strict", "balanced",
    "standard" or "bf16") asks for are left out. At the end the whole model is built in a temporary
    folder, with default schedules, with the best and with those that are close to them, and
    ``timed`` in turns: each kernel gets what is fastest in the model, which the log is told.
    ``minutes`` include all of that. Where ``shapes`` leaves sizes open, kernels are tuned
    ``at`` some, by default the largest, the smallest and one between:
    ``{"tokens": (32, 128)}``. For ``state`` see ``build``, and for several models, whose
    kernels share the trials: equal ones are measured once.
    Raises ModelError, LogError,
    TargetError (a target that this machine cannot run, or
    more threads than it has cores for), ToolchainError and UsageError.
    """
    said = (shapes, values, outputs, state, bounds, example_inputs, preprocess, postprocess)
    report, _ = tuned(
        partial(read_all, model, *said),
        target,
        trials=trials,
        minutes=minutes,
        log=log,
        packs=packs,
        verify=verify,
        threads=threads,
        accuracy=accuracy,
        at=at,
        seed=seed,
        timed=timed,
        on_progress=on_progress,
    )
    return report


def tuned(
    read_them: Callable[[], Mapping[str, ReadModel]],
    target: str | Target,
    *,
    trials: int | None,
    minutes: float | None,
    log: FilePath,
    packs: Sequence[FilePath],
    threads: int | None,
    accuracy: str,
    at: At | None,
    seed: int,
    on_progress: Show | None,
    verify: bool = False,
    timed: bool = True,
    builds: int = 0,
) -> tuple[TuneReport, float]:
    """``tune`` of the models that ``read_them`` gives, by the names of entry points, where the
    caller makes so many ``builds`` of them afterwards.

    Also tells how many seconds one takes.
    """
    started = time.monotonic()
    resolved = resolve(target, threads, accuracy)
    check_measurable(resolved)
    check_cores(resolved.threads)
    find_compiler()
    if trials is None:
        trials = DEFAULT_TRIALS if minutes is None and not verify else _UNLIMITED
    show = on_progress or (lambda progress: None)
    show(Progress("import", "while workers start", total=trials))
    with contextlib.ExitStack() as opened:
        measurer = opened.enter_context(Measurer(resolved, seed=seed))  # gets ready meanwhile
        reads = read_them()
        entries = import_entries(reads, resolved)
        some = all_runs(entries, at)
        kernels = counts([run for each in some.values() for run in each])
        wholes = {title: largest(entry) for title, entry in entries.items()}
        largest_of_all = [whole.variant for whole in wholes.values()]
        sources = opened.enter_context(writing(log, packs, resolved))
        sources.cold = not all(stays_in_cache(each, resolved) for each in largest_of_all)
        measurer.swept = not all(stays_in_own_cache(each, resolved) for each in largest_of_all)

        def needed(libraries: int, kernel: float, run: float) -> float:
            """Seconds of building and timing them, by those of building a kernel and of a run."""
            turns = max(SECONDS * len(entries), LEAST_TURNS * (TURN + 2) * run)
            return (libraries + builds) * _a_build(len(kernels), kernel) + libraries * turns

        given = math.inf if minutes is None else 60 * minutes
        clock = Clock(given, started, partial(needed, _JUDGED if timed else 0))
        result = tune_workloads(
            kernels,
            trials,
            sources,
            verify=verify,
            seed=seed,
            on_progress=on_progress,
            measurer=measurer,
            clock=clock,
        )
        verdict = None
        if timed and not result.interrupted:
            stage = _Stage("model", result, clock, trials, show, needed)
            programs = {title: whole.program for title, whole in wholes.items()}
            chosen: dict[Workload, Choice] = {}
            for program in programs.values():
                chosen |= choices(Entry.of(program), sources)
            inputs = {}
            for title, whole in wholes.items():
                sampled = inputs_at(reads[title], whole.sizes, _SAMPLE_SEED)
                inputs[title] = {name: sampled[name] for name, _ in programs[title].inputs}
            try:
                verdict = judge(programs, sources, selections(chosen), inputs, stage)
            except KeyboardInterrupt:
                result = replace(result, interrupted=True)
    report = _by_entry(_report(result, verdict, clock), verdict, some)
    return report, _a_build(len(kernels), clock.building.mean(0.5))


def _a_build(kernels: int, seconds: float) -> float:
    """Seconds that a library takes, by what a kernel takes."""
    return _LINKING + kernels * seconds


class _Stage:
    """Tells how the whole model is compared, and whether there is time for it."""

    def __init__(
        self,
        name: str,
        result: TuneResult,
        clock: Clock,
        trials: int,
        show: Show,
        needed: Callable[[int, float, float], float],
    ) -> None:
        self._name, self._result, self._clock, self._show = name, result, clock, show
        self._trials, self._needed = trials, needed
        self._end = clock.elapsed + clock.afterwards

    def __call__(self, doing: str) -> None:
        """Tell what is done now."""
        done = self._result
        self._show(
            Progress(
                self._name,
                doing,
                trials=done.trials,
                total=self._trials,
                before=done.before,
                after=done.after,
                elapsed=self._clock.elapsed,
                eta=max(0.0, self._end - self._clock.elapsed),
            )
        )

    def in_time(self, libraries: int) -> bool:
        """Whether so many can be built and timed, or little is missing."""
        clock = self._clock
        needed = self._needed(libraries, clock.building.mean(0.5), clock.latency)
        return clock.given - clock.elapsed > 0.7 * needed


def _report(result: TuneResult, verdict: Verdict | None, clock: Clock) -> TuneReport:
    """With the kernels that got their defaults back, and the time of it all."""
    known = {f.name: getattr(result, f.name) for f in fields(result)}
    known["seconds"] = clock.elapsed
    if verdict is None:
        return TuneReport(**known)
    known["kernels"] = tuple(
        _decided(kernel, verdict.decided.get(kernel.workload)) for kernel in result.kernels
    )
    return TuneReport(
        **known,
        model_before=verdict.before,
        model_after=verdict.after,
        model_kept_defaults=verdict.kept,
        model_decided=len(verdict.decided),
        model_busy=verdict.busy,
    )


def _by_entry(
    report: TuneReport, verdict: Verdict | None, some: Mapping[str, Sequence[Run]]
) -> TuneReport:
    """With the sizes, and what there is of each entry point where there are several."""
    texts = (named(title, run, some) for title, each in some.items() for run in each if run.text)
    report = replace(report, sizes=tuple(texts))
    if len(some) == 1:
        return report
    entries = []
    for title, each in some.items():
        called = counts(each)
        own = (k for k in report.kernels if k.workload in called)
        kernels = tuple(replace(k, count=called[k.workload]) for k in own)
        sizes = tuple(run.text for run in each if run.text)
        times = verdict.entries.get(title) if verdict else None
        entries.append(EntryTuned(title, kernels, sizes, *(times or (None, None))))
    return replace(report, entries=tuple(entries))


def _decided(kernel: KernelResult, decision: Decision | None) -> KernelResult:
    """As the whole model has it."""
    if decision is None:
        return kernel
    if decision.default_kept:
        return replace(kernel, best=kernel.default, schedule=decision.schedule, default_kept=True)
    return replace(
        kernel,
        default=decision.default,
        best=decision.seconds,
        schedule=decision.schedule,
        compared=True,
        default_kept=False,
    )
