"""How fast an artifact runs on this machine, and how much of the machine that uses."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from luthier.autotune.measure.noise import Watch
from luthier.deploy import Artifact, load
from luthier.schedules.ops.counts import flops, traffic
from luthier.schedules.target import check_cores

from ..arguments import validated
from ..correctness.compare import sample
from ..records.sources import FilePath
from .bandwidth import peak_bandwidth
from .peak import peak_gflops

Inputs = dict[str, NDArray[Any]]

LEAST_RUNS = 10
MOST_RUNS = 10_000
MOST_PROFILES = 100


@dataclass(frozen=True)
class KernelTime:
    """One call of the model: median milliseconds, and its share of all calls' time.

    ``gbytes_per_s`` is its bytes, as ``schedules.counts`` has them, over the time. Data that stay
    in the caches from one kernel to the next never come from memory, so its fraction of the
    bandwidth may be above 1. Both fractions are None where the machine was ``busy``.
    """

    step: int
    source: str
    kernel: str
    schedule: str
    origin: str
    milliseconds: float
    share: float
    gflops: float
    fraction_of_peak: float | None
    gbytes_per_s: float
    fraction_of_bandwidth: float | None


@dataclass(frozen=True)
class BenchReport:
    """Times are milliseconds of one run; ``q1`` and ``q3`` are the quartiles around the median.

    ``gflop`` is the arithmetic of one run, counted as ``schedules.counts`` does, ``peak_gflops``
    what this machine's float32 units were measured to reach with as many threads,
    ``peak_bandwidth`` the GB/s that so many threads were measured to read from its memory.
    ``busy``: something else kept the machine busy, twice, while that or the runs were timed; then
    nobody knows the fraction, which is None.
    """

    folder: Path
    threads: int
    runs: int
    median: float
    q1: float
    q3: float
    minimum: float
    gflop: float
    gflops: float
    peak_gflops: float
    fraction_of_peak: float | None
    peak_bandwidth: float
    busy: bool
    kernels: tuple[KernelTime, ...]


@validated
def bench(
    folder: FilePath, *, threads: int | None = None, seconds: float = 3.0, kernels: bool = False
) -> BenchReport:
    """Time the artifact on its own sample for about ``seconds``; ``kernels`` adds a profile.

    What was timed while something else kept the machine busy is timed once more. Raises what
    ``load`` raises, ArtifactError where the sample is missing, TargetError where there
    are more threads than cores, UsageError.
    """
    with load(folder, threads=threads) as artifact:
        inputs = dict(sample(artifact).inputs)
        target = replace(artifact.manifest.target, threads=artifact.threads)
        check_cores(target.threads)
        with Watch(target.threads) as watch:
            peaks, busy_peaks = watch.over(lambda: (peak_gflops(target), peak_bandwidth(target)))
            times, busy_times = watch.over(lambda: _times(artifact, inputs, seconds))
            profile, busy_profile = watch.over(
                lambda: _profile(artifact, inputs, len(times)) if kernels else []
            )
    (peak, bandwidth), busy = peaks, busy_peaks or busy_times or busy_profile
    work = sum(flops(k.workload) * k.count for k in artifact.manifest.kernels) / 1e9
    q1, median, q3 = statistics.quantiles(times, n=4, method="inclusive")
    return BenchReport(
        folder=Path(folder),
        threads=target.threads,
        runs=len(times),
        median=median * 1e3,
        q1=q1 * 1e3,
        q3=q3 * 1e3,
        minimum=min(times) * 1e3,
        gflop=work,
        gflops=work / median,
        peak_gflops=peak,
        fraction_of_peak=None if busy else work / median / peak,
        peak_bandwidth=bandwidth,
        busy=busy,
        kernels=_kernel_times(artifact, profile, peak, bandwidth, busy),
    )


def _times(artifact: Artifact, inputs: Inputs, seconds: float) -> list[float]:
    """Seconds of single runs, after runs that warm caches and clocks for a tenth of the time."""
    repeat(artifact, inputs, seconds / 10, least=2)
    return repeat(artifact, inputs, seconds, least=LEAST_RUNS)


def repeat(artifact: Artifact, inputs: Inputs, seconds: float, least: int) -> list[float]:
    """Seconds of each of ``least`` runs, and of more until so many seconds are over."""
    arrays = [inputs[p.name] for p in artifact.inputs]
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or (time.perf_counter() < end and len(times) < MOST_RUNS):
        start = time.perf_counter()
        artifact(*arrays)
        times.append(time.perf_counter() - start)
    return times


def _profile(artifact: Artifact, inputs: Inputs, runs: int) -> list[float]:
    """Median seconds of each step."""
    profiles = [artifact.profile(inputs) for _ in range(min(runs, MOST_PROFILES))]
    return [statistics.median(step) for step in zip(*profiles, strict=True)]


def _kernel_times(
    artifact: Artifact, profile: list[float], peak: float, bandwidth: float, busy: bool
) -> tuple[KernelTime, ...]:
    total = sum(profile) or 1.0
    rows = []
    for i, seconds in enumerate(profile):
        step = artifact.manifest.steps[i]
        entry = artifact.manifest.kernels[step.kernel]
        rate, stream = (
            amount / seconds / 1e9 if seconds else 0.0
            for amount in (flops(entry.workload), traffic(entry.workload))
        )
        rows.append(
            KernelTime(
                step=i,
                source=step.source,
                kernel=str(entry.workload),
                schedule=str(entry.schedule),
                origin=entry.source,
                milliseconds=seconds * 1e3,
                share=seconds / total,
                gflops=rate,
                fraction_of_peak=None if busy else rate / peak,
                gbytes_per_s=stream,
                fraction_of_bandwidth=None if busy else stream / bandwidth,
            )
        )
    return tuple(sorted(rows, key=lambda r: -r.milliseconds))
