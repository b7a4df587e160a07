"""A model's two libraries, with default and with other schedules, timed in turns."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.autotune.noise import Watch
from luthier.deploy import Artifact, load

from ._bench import repeat
from ._samples import Array

Inputs = dict[str, Array]
Samples = tuple[float, ...]

SECONDS = 2.2  # of turns, a tenth of which warms up
TURN = 3  # runs that count; before them one that finds the other's data in the caches
LEAST_TURNS = 5
_MOST_TURNS = 400


@dataclass(frozen=True)
class InTurns:
    """Median seconds of a run of the ``first`` and of the ``second`` library.

    ``busy``: something else kept the machine busy, and they may not compare. ``kernels`` has for
    each, by key of the dense workload, the seconds of a call in profiled runs of the two.
    """

    first: float
    second: float
    busy: bool
    kernels: Mapping[str, tuple[Samples, Samples]]


def in_turns(first: Path, second: Path, inputs: Inputs, threads: int) -> InTurns:
    """Time two artifacts of one program; raises ArtifactError and ToolchainError."""
    with (
        Watch(threads) as watch,
        load(first, threads=threads) as one,
        load(second, threads=threads) as other,
    ):
        return _turns((one, other), inputs, watch)


def _turns(pair: tuple[Artifact, Artifact], inputs: Inputs, watch: Watch) -> InTurns:
    turns: list[tuple[list[float], list[float]]] = []
    profiles: list[tuple[list[float], list[float]]] = []
    quiet: list[bool] = []
    begin = time.perf_counter()
    busy = watch.pulse()
    while not _is_enough(quiet, time.perf_counter() - begin):
        times, steps = [], []
        for artifact in pair:
            repeat(artifact, inputs, 0.0, least=1)
            times.append(repeat(artifact, inputs, 0.0, least=TURN))
            steps.append(artifact.profile(inputs))
        before, busy = busy, watch.pulse()
        if time.perf_counter() < begin + 0.1 * SECONDS and len(turns) < LEAST_TURNS:
            continue
        turns.append((times[0], times[1]))
        profiles.append((steps[0], steps[1]))
        quiet.append(not busy and not before)
    counted = [i for i, still in enumerate(quiet) if still]
    too_few = len(counted) < LEAST_TURNS
    if too_few:
        counted = list(range(len(quiet)))
    runs = [[t for i in counted for t in turns[i][side]] for side in (0, 1)]
    return InTurns(
        statistics.median(runs[0]),
        statistics.median(runs[1]),
        too_few,
        _calls(pair[0], [profiles[i] for i in counted]),
    )


def _is_enough(quiet: Sequence[bool], seconds: float) -> bool:
    """Whether there were enough quiet turns; where there are none, twice as many are tried."""
    if len(quiet) < LEAST_TURNS:
        return False
    if sum(quiet) < LEAST_TURNS:
        return len(quiet) >= 2 * LEAST_TURNS and seconds > 2 * SECONDS
    return seconds > SECONDS or len(quiet) >= _MOST_TURNS


def _calls(
    artifact: Artifact, profiles: Sequence[tuple[list[float], list[float]]]
) -> dict[str, tuple[Samples, Samples]]:
    """Seconds of a call of each kernel, by the steps that both libraries have in common."""
    kernels = artifact.manifest.kernels
    keys = [kernels[step.kernel].workload.dense.key for step in artifact.manifest.steps]
    calls = Counter(keys)
    found: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for pair in profiles:
        for side, steps in enumerate(pair):
            sums: Counter[str] = Counter()
            for key, seconds in zip(keys, steps, strict=True):
                sums[key] += seconds  # type: ignore[assignment]
            for key, total in sums.items():
                found[key][side].append(total / calls[key])
    return {key: (tuple(sorted(a)), tuple(sorted(b))) for key, (a, b) in found.items()}


def is_slower(other: Samples, default: Samples) -> bool:
    """Whether ``other`` took longer, beyond what chance explains: 95% intervals of both medians."""
    behind = statistics.median(other) - statistics.median(default)
    return behind > math.hypot(_uncertainty(other), _uncertainty(default))


def _uncertainty(samples: Samples) -> float:
    """Half of the median's 95% interval, by the quartiles, as the timing loop in C has it."""
    q1, _, q3 = statistics.quantiles(samples, n=4, method="inclusive")
    return 1.82 * (q3 - q1) / math.sqrt(len(samples))
