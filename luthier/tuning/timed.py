"""A model's libraries, with default and with other schedules, timed in turns."""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luthier.autotune.measure.noise import Watch
from luthier.deploy import Artifact, load
from luthier.schedules import Workload

from ..inputs.samples import Array
from ..machine.bench import repeat

Inputs = dict[str, Array]
Samples = tuple[float, ...]

SECONDS = 1.1  # of a library's turns, a tenth of which warms up
TURN = 3  # runs that count; before them one that finds another's data in the caches
LEAST_TURNS = 5
_MOST_TURNS = 400


@dataclass(frozen=True)
class InTurns:
    """Median ``seconds`` of a run of each library, in their order, of all entry points together.

    ``busy``: something else kept the machine busy, and they may not compare. ``kernels`` has for
    each, by its workload, the seconds of a call in profiled runs of each library. ``entries`` are
    the medians of each entry point.
    """

    seconds: tuple[float, ...]
    busy: bool
    kernels: Mapping[Workload, tuple[Samples, ...]]
    entries: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def in_turns(folders: Sequence[Path], inputs: Mapping[str, Inputs], threads: int) -> InTurns:
    """Time artifacts of the same programs, whose entry points are given ``inputs`` by their names;
    raises ArtifactError and ToolchainError."""
    with contextlib.ExitStack() as opened:
        watch = opened.enter_context(Watch(threads))
        libraries = []
        for folder in folders:
            first = opened.enter_context(load(folder, threads=threads))
            libraries.append({name: opened.enter_context(first.entry(name)) for name in inputs})
        return _turns(libraries, inputs, watch)


def _turns(
    libraries: Sequence[Mapping[str, Artifact]], inputs: Mapping[str, Inputs], watch: Watch
) -> InTurns:
    artifacts = [(name, artifact) for each in libraries for name, artifact in each.items()]
    turns: list[list[list[float]]] = []
    profiles: list[list[list[float]]] = []
    quiet: list[bool] = []
    given = SECONDS * len(artifacts)
    begin = time.perf_counter()
    busy = watch.pulse()
    while not _is_enough(quiet, (time.perf_counter() - begin) / given):
        times, steps = [], []
        for name, artifact in artifacts:
            repeat(artifact, inputs[name], 0.0, least=1)
            times.append(repeat(artifact, inputs[name], 0.0, least=TURN))
            steps.append(artifact.profile(inputs[name]))
        before, busy = busy, watch.pulse()
        if time.perf_counter() < begin + 0.1 * given and len(turns) < LEAST_TURNS:
            continue
        turns.append(times)
        profiles.append(steps)
        quiet.append(not busy and not before)
    counted = [i for i, still in enumerate(quiet) if still]
    too_few = len(counted) < LEAST_TURNS
    if too_few:
        counted = list(range(len(quiet)))
    runs = zip(*(turns[i] for i in counted), strict=True)
    medians = [statistics.median(itertools.chain(*each)) for each in runs]
    count = len(inputs)  # of entry points
    wholes = tuple(sum(medians[i : i + count]) for i in range(0, len(medians), count))
    calls = _calls(list(libraries[0].values()), [profiles[i] for i in counted])
    entries = {name: tuple(medians[i::count]) for i, name in enumerate(inputs)}
    return InTurns(wholes, too_few, calls, entries)


def _is_enough(quiet: Sequence[bool], spent: float) -> bool:
    """Whether there were enough quiet turns; where there are none, twice as many are tried.

    ``spent`` is the share of the time given that is over.
    """
    if len(quiet) < LEAST_TURNS:
        return False
    if sum(quiet) < LEAST_TURNS:
        return len(quiet) >= 2 * LEAST_TURNS and spent > 2
    return spent > 1 or len(quiet) >= _MOST_TURNS


def _calls(
    entries: Sequence[Artifact], profiles: Sequence[Sequence[Sequence[float]]]
) -> dict[Workload, tuple[Samples, ...]]:
    """Seconds of a call of each kernel, by the steps that all libraries have in common, one entry
    point after the other."""
    kernels = entries[0].manifest.kernels
    workloads = [kernels[step.kernel].workload for entry in entries for step in entry.steps]
    calls = Counter(workloads)
    count = len(profiles[0]) // len(entries)
    found: dict[Workload, list[list[float]]] = {w: [[] for _ in range(count)] for w in calls}
    for turn in profiles:
        for library in range(count):
            own = turn[library * len(entries) : (library + 1) * len(entries)]
            sums = dict.fromkeys(calls, 0.0)
            for workload, seconds in zip(workloads, itertools.chain(*own), strict=True):
                sums[workload] += seconds
            for workload, total in sums.items():
                found[workload][library].append(total / calls[workload])
    return {w: tuple(tuple(sorted(each)) for each in times) for w, times in found.items()}


def is_slower(other: Samples, default: Samples) -> bool:
    """Whether ``other`` took longer, beyond what chance explains: 95% intervals of both medians."""
    behind = statistics.median(other) - statistics.median(default)
    return behind > math.hypot(_uncertainty(other), _uncertainty(default))


def _uncertainty(samples: Samples) -> float:
    """Half of the median's 95% interval, by the quartiles, as the timing loop in C has it."""
    q1, _, q3 = statistics.quantiles(samples, n=4, method="inclusive")
    return 1.82 * (q3 - q1) / math.sqrt(len(samples))
