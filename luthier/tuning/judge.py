"""The last word on tuned schedules: whole models with defaults, winners and those close to them.

Each kernel's finalists are timed where they will run: libraries with one finalist each take turns.
A kernel whose winner is slower inside the model than its default gets its default back, one that
another finalist beats gets that; all get their defaults where the model is no faster on the whole.
The log is told, as a comparison like any other, so that a build decides the same later.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from luthier.autotune import Machine, Outcome, Sources
from luthier.autotune.measure.measurement import Measurement, recorded, side_by_side
from luthier.autotune.records.record import normal, now
from luthier.autotune.records.winner import NOTABLE
from luthier.deploy import Selection, Selections
from luthier.deploy import build as build_library
from luthier.frontend import Entry, Library, Program
from luthier.schedules import Schedule, Workload
from luthier.schedules.templates import registry
from luthier.schedules.temporary import TemporaryFolder

from .timed import Inputs, InTurns, Samples, in_turns, is_slower

WHERE = "timed inside a model"  # what the records say
ATTEMPTS = 2  # with all finalists, and with those that won
FINALISTS = 3  # of a kernel at most, the winner among them
_CLOSE = 1.05  # so many times the winner's time, alone, another one may take
_LOOKED_AT = 16  # fastest records, which finalists are taken from
_STAGES = ("default schedules", "the best schedules", "the second best", "the third best")


@dataclass(frozen=True)
class Decision:
    """A kernel's schedule, where the model decides otherwise than the kernel alone.

    ``default`` and ``seconds`` are medians of a call of it inside the model, timed in turns.
    """

    schedule: Schedule
    default: float
    seconds: float
    default_kept: bool


@dataclass(frozen=True)
class Verdict:
    """Median seconds of a run with default and with the best schedules, timed in turns: of all
    entry points together, and of each of the ``entries``.

    ``busy``: something else kept the machine busy, so nobody knows. ``kept`` defaults: the model is
    no faster with the best schedules. ``decided``: the kernels that get another schedule than they
    won with alone.
    """

    before: float
    after: float
    busy: bool
    kept: bool
    decided: Mapping[Workload, Decision]
    entries: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Stage(Protocol):
    """Is told what is done, and says whether there is time for it."""

    def __call__(self, doing: str) -> None:
        """It is done now."""

    def in_time(self, libraries: int) -> bool:
        """Whether so many libraries can be built and timed."""


@dataclass(frozen=True)
class _Kernel:
    """The schedules that a kernel may get, in ``normal`` order: what it has now is first."""

    workload: Workload
    default: Schedule
    finalists: tuple[Schedule, ...]

    def finalist(self, number: int) -> Schedule:
        """That one, or the first where there are not so many."""
        return self.finalists[number if number < len(self.finalists) else 0]

    def best(self, samples: Sequence[Samples]) -> Schedule:
        """By the samples of the default, then of the finalists that were timed."""
        default, *tried = samples[: 1 + len(self.finalists)]
        first = tried[0]
        fastest = min(tried, key=statistics.median)
        if fastest is not first and not is_slower(first, fastest):
            fastest = first
        gain = statistics.median(default) / statistics.median(fastest)
        if is_slower(fastest, default) or (fastest is not first and gain < NOTABLE):
            return self.default
        return self.finalists[tried.index(fastest)]


def judge(
    programs: Mapping[str, Program],
    sources: Sources,
    selected: Selections,
    inputs: Mapping[str, Inputs],
    stage: Stage,
) -> Verdict | None:
    """Compare a library as ``selected``, with close schedules, and with defaults.

    ``programs`` are those of its entry points, by name as their ``inputs`` are. None where all are
    the same, or there is no time. Adds to the sources' own store what makes a build decide the
    same. Raises ArtifactError, LogError, ToolchainError and ModelError.
    """
    library = Library("judged", {name: Entry.of(each) for name, each in programs.items()})
    kernels = _finalists(library, sources, selected)
    decided: dict[Workload, Decision] = {}
    verdict: Verdict | None = None
    with TemporaryFolder() as folder:
        default = folder / "default"
        for attempt in range(ATTEMPTS):
            count = _libraries(kernels.values(), stage)
            if not count:
                break
            folders = [default, *(folder / f"{attempt}.{i}" for i in range(1, count))]
            for number, doing in enumerate(_STAGES[:count]):
                if number or not attempt:
                    stage(f"building it with {doing}")
                    chosen = _chosen(kernels, number - 1) if number else {}
                    build_library(library, folders[number], sources.target, chosen)
            stage(f"timing the {count} libraries in turns")
            shown = in_turns(folders, inputs, sources.target.threads)
            best = _best(kernels, shown, last=attempt == ATTEMPTS - 1)
            for workload, schedule in best.items():
                samples = shown.kernels[workload]
                decided[workload] = _tell(sources, kernels[workload], schedule, samples)
            for workload, kernel in kernels.items():
                first = best.get(workload, kernel.finalists[0])
                kernels[workload] = replace(kernel, finalists=(first,))
            kept = not _chosen(kernels, 0)
            before, after, *_ = shown.seconds
            entries = {name: (times[0], times[1]) for name, times in shown.entries.items()}
            verdict = Verdict(before, after, shown.busy, kept, dict(decided), entries)
            if not best:
                break
    return verdict


def _finalists(library: Library, sources: Sources, selected: Selections) -> dict[Workload, _Kernel]:
    """Each kernel's schedule, and those that were about as fast alone, says one's own log."""
    found: dict[Workload, _Kernel] = {}
    calls = (call for program in library.programs for call in program.calls)
    for workload in dict.fromkeys(call.workload for call in calls):
        default = normal(registry.default(workload, sources.target))
        first = normal(selected[workload].schedule) if workload in selected else default
        ranked = list(itertools.islice(sources.ranked(workload), _LOOKED_AT))
        limit = next((_CLOSE * r.rank for r in ranked if r.schedule == first), 0.0)
        close = (r.schedule for r in ranked if r.rank < limit)
        others = [schedule for schedule in close if schedule not in (first, default)]
        found[workload] = _Kernel(workload, default, (first, *others[: FINALISTS - 1]))
    return found


def _libraries(kernels: Collection[_Kernel], stage: Stage) -> int:
    """How many there are to build and time, the default's among them; 0 for nothing to do."""
    if all(kernel.finalists == (kernel.default,) for kernel in kernels):
        return 0
    wanted = 1 + max(len(kernel.finalists) for kernel in kernels)
    return next((count for count in range(wanted, 1, -1) if stage.in_time(count)), 0)


def _chosen(kernels: Mapping[Workload, _Kernel], number: int) -> dict[Workload, Selection]:
    """What the library with finalists of that number has that are not defaults."""
    every = {workload: kernel.finalist(number) for workload, kernel in kernels.items()}
    return {w: Selection(s) for w, s in every.items() if s != kernels[w].default}


def _best(
    kernels: Mapping[Workload, _Kernel], shown: InTurns, *, last: bool
) -> dict[Workload, Schedule]:
    """The kernels that get another schedule than they have, and which."""
    if shown.busy:
        return {}
    best = {w: kernel.best(shown.kernels[w]) for w, kernel in kernels.items()}
    other = {w: s for w, s in best.items() if s != kernels[w].finalists[0]}
    default, first, *_ = shown.seconds
    if first < default or (other and not last):
        return other
    return {workload: kernels[workload].default for workload in _chosen(kernels, 0)}


def _tell(
    sources: Sources, kernel: _Kernel, schedule: Schedule, samples: Sequence[Samples]
) -> Decision:
    """Record a comparison that ``schedule`` wins.

    Where it is the default, and what it replaces was not slower in the model, only the whole model,
    the default stands alone in it.
    """
    times = dict(zip((kernel.default, *kernel.finalists), samples, strict=False))
    first = kernel.finalists[0]
    compared = dict.fromkeys((kernel.default, first, schedule))
    if schedule == kernel.default and not is_slower(times[first], times[schedule]):
        compared = {schedule: None}
    measured = [Measurement(each, Outcome.OK, times[each], WHERE) for each in compared]
    machine, at = Machine.host(sources.target), now()
    for each in side_by_side([measured]):
        sources.add(recorded(kernel.workload, machine, each, cold=sources.cold, time=at))
    default, seconds = (statistics.median(times[s]) for s in (kernel.default, schedule))
    return Decision(schedule, default, seconds, schedule == kernel.default)
