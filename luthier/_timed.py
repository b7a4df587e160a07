"""The whole model with default schedules against the best ones, timed in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

from luthier.deploy import Artifact, load
from luthier.deploy import build as build_program
from luthier.frontend import Program
from luthier.schedules import Schedule, Target
from luthier.schedules.temporary import TemporaryFolder

from ._bench import repeat
from ._samples import Array

Inputs = dict[str, Array]

_SECONDS = 2.0  # of turns, after a warm-up of a tenth of it
_TURN = 3  # runs that count; before them one that finds the other's data in the caches
_LEAST_RUNS = 6
_MOST_RUNS = 1000


def before_and_after(
    program: Program, target: Target, schedules: Mapping[str, Schedule], inputs: Inputs
) -> tuple[float, float]:
    """Median seconds of a run with default schedules, and with ``schedules`` (see ``build``).

    Builds both in a temporary folder. Raises ArtifactError, ToolchainError and ModelError.
    """
    with TemporaryFolder() as folder:
        default, best = folder / "default", folder / "best"
        build_program(program, default, target, {})
        build_program(program, best, target, schedules)
        return in_turns(default, best, inputs, target.threads)


def in_turns(first: Path, second: Path, inputs: Inputs, threads: int) -> tuple[float, float]:
    """Median seconds of a run of two artifacts; raises ArtifactError."""
    with load(first, threads=threads) as one, load(second, threads=threads) as other:
        return _turns((one, other), inputs)


def _turns(pair: tuple[Artifact, Artifact], inputs: Inputs) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    begin = time.perf_counter()
    while len(times[0]) < _LEAST_RUNS or (
        time.perf_counter() < begin + 1.1 * _SECONDS and len(times[0]) < _MOST_RUNS
    ):
        for artifact, found in zip(pair, times, strict=True):
            repeat(artifact, inputs, 0.0, least=1)
            found.extend(repeat(artifact, inputs, 0.0, least=_TURN))
        if time.perf_counter() < begin + 0.1 * _SECONDS:
            for found in times:
                found.clear()
    return statistics.median(times[0]), statistics.median(times[1])
