"""A model's libraries, with default and with other schedules, timed in turns."""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """Median ``seconds`` of a run of each library, in their order.

    ``busy``: something else kept the machine busy, and they may not compare. ``kernels`` has for
    each, by its workload, the seconds of a call in profiled runs of each library.
    """

    seconds: tuple[float, ...]
    busy: bool
    kernels: Mapping[Workload, tuple[Samples, ...]]


def in_turns(folders: Sequence[Path], inputs: Inputs, threads: int) -> InTurns:
    """Time artifacts of one program; raises ArtifactError and ToolchainError."""
    with contextlib.ExitStack() as opened:
        watch = opened.enter_context(Watch(threads))
        artifacts = [opened.enter_context(load(folder, threads=threads)) for folder in folders]
        return _turns(artifacts, inputs, watch)


def _turns(artifacts: Sequence[Artifact], inputs: Inputs, watch: Watch) -> InTurns:
    turns: list[list[list[float]]] = []
    profiles: list[list[list[float]]] = []
    quiet: list[bool] = []
    given = SECONDS * len(artifacts)
    begin = time.perf_counter()
    busy = watch.pulse()
    while not _is_enough(quiet, (time.perf_counter() - begin) / given):
        times, steps = [], []
        for artifact in artifacts:
            repeat(artifact, inputs, 0.0, least=1)
            times.append(repeat(artifact, inputs, 0.0, least=TURN))
            steps.append(artifact.profile(inputs))
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
    medians = tuple(statistics.median(itertools.chain(*each)) for each in runs)
    return InTurns(medians, too_few, _calls(artifacts[0], [profiles[i] for i in counted]))


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
    artifact: Artifact, profiles: Sequence[Sequence[Sequence[float]]]
) -> dict[Workload, tuple[Samples, ...]]:
    """Seconds of a call of each kernel, by the steps that all libraries have in common."""
    kernels = artifact.manifest.kernels
    workloads = [kernels[step.kernel].workload for step in artifact.manifest.steps]
    calls = Counter(workloads)
    found: dict[Workload, list[list[float]]] = {w: [[] for _ in profiles[0]] for w in calls}
    for turn in profiles:
        for library, steps in enumerate(turn):
            sums = dict.fromkeys(calls, 0.0)
            for workload, seconds in zip(workloads, steps, strict=True):
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
