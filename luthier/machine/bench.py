"""How fast an artifact runs on this machine, and how much of the machine that uses."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.autotune.measure.noise import Watch
from luthier.deploy import Artifact, load
from luthier.schedules.errors import UsageError
from luthier.schedules.ir.size import value
from luthier.schedules.ir.size_text import parse_size
from luthier.schedules.ops.counts import flops, traffic
from luthier.schedules.target import check_cores

from ..arguments import validated
from ..correctness.compare import sample
from ..records.runs import At, combinations
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
    bandwidth may be above 1. Both fractions are None where the machine was ``busy``. Of a kernel
    whose sizes are open the arithmetic and bytes are known for the largest alone; else they, too,
    are None.
    """

    step: int
    source: str
    kernel: str
    schedule: str
    origin: str
    milliseconds: float
    share: float
    gflops: float | None
    fraction_of_peak: float | None
    gbytes_per_s: float | None
    fraction_of_bandwidth: float | None


@dataclass(frozen=True)
class SizesTime:
    """Milliseconds of a run with some sizes."""

    sizes: str
    runs: int
    median: float
    q1: float
    q3: float
    minimum: float


@dataclass(frozen=True)
class BenchReport:
    """Times are milliseconds of one run; ``q1`` and ``q3`` are the quartiles around the median.

    ``gflop`` is the arithmetic of one run, counted as ``schedules.counts`` does, ``peak_gflops``
    what this machine's float32 units were measured to reach with as many threads,
    ``peak_bandwidth`` the GB/s that so many threads were measured to read from its memory.
    ``busy``: something else kept the machine busy, twice, while that or the runs were timed; then
    nobody knows the fraction, which is None. Where sizes are open, ``sizes`` are those of the runs,
    ``at`` the times of all that were asked for, and the arithmetic is None but for the largest.
    """

    folder: Path
    threads: int
    runs: int
    median: float
    q1: float
    q3: float
    minimum: float
    gflop: float | None
    gflops: float | None
    peak_gflops: float
    fraction_of_peak: float | None
    peak_bandwidth: float
    busy: bool
    kernels: tuple[KernelTime, ...]
    sizes: str = ""
    at: tuple[SizesTime, ...] = ()


@validated
def bench(
    folder: FilePath,
    *,
    threads: int | None = None,
    seconds: float = 3.0,
    kernels: bool = False,
    at: At | None = None,
) -> BenchReport:
    """Time the artifact on its own sample for about ``seconds``; ``kernels`` adds a profile.

    Where sizes are open, it is timed for so long ``at`` each of some, on the sample's elements
    again and again: ``{"tokens": (32, 128)}``. What was timed while something else kept the machine
    busy is timed once more. Raises what ``load`` raises, ArtifactError where the sample is missing,
    TargetError where there are more threads than cores, UsageError, also for states that grow.
    """
    with load(folder, threads=threads) as artifact:
        _check_states(artifact)
        samples = _samples(artifact, at or {})
        inputs = samples[0][1]
        target = replace(artifact.manifest.target, threads=artifact.threads)
        check_cores(target.threads)
        with Watch(target.threads) as watch:
            peaks, busy_peaks = watch.over(lambda: (peak_gflops(target), peak_bandwidth(target)))
            all_times, busy_times = watch.over(
                lambda: [_times(artifact, each, seconds) for _, each in samples]
            )
            times = all_times[0]
            profile, busy_profile = watch.over(
                lambda: _profile(artifact, inputs, len(times)) if kernels else []
            )
    (peak, bandwidth), busy = peaks, busy_peaks or busy_times or busy_profile
    known = all(p.tensor.shape == inputs[p.name].shape for p in artifact.inputs)
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
        gflop=work if known else None,
        gflops=work / median if known else None,
        peak_gflops=peak,
        fraction_of_peak=None if busy or not known else work / median / peak,
        peak_bandwidth=bandwidth,
        busy=busy,
        kernels=_kernel_times(artifact, profile, peak, bandwidth, busy, known),
        sizes=samples[0][0],
        at=tuple(
            _sizes_time(text, each)
            for (text, _), each in zip(samples, all_times, strict=True)
            if text
        ),
    )


def _check_states(artifact: Artifact) -> None:
    """Raise UsageError where runs are not alike."""
    for state in artifact.state.notes:
        if state.axis is not None:
            raise UsageError(
                f"the state '{state.name}' grows with each run, so that no two are alike: time "
                "runs in your program, or a library that was built without --state"
            )


def _samples(artifact: Artifact, at: At) -> list[tuple[str, Inputs]]:
    """Inputs, and the sizes of them where some are open."""
    kept = sample(artifact).inputs
    inputs = {port.name: kept[port.name] for port in artifact.inputs}
    symbols = {symbol.name: symbol for symbol in artifact.sizes}
    if not at:
        return [(_sizes_of(artifact, inputs), inputs)]
    found = []
    for sizes in combinations(artifact.sizes, at):
        shapes = {
            port.name: [value(parse_size(dim, symbols), sizes) for dim in port.shape_texts]
            for port in artifact.inputs
        }
        text = ", ".join(f"{name}={size}" for name, size in sizes.items())
        found.append((text, {n: _resized(inputs[n], shape) for n, shape in shapes.items()}))
    return found


def _sizes_of(artifact: Artifact, inputs: Inputs) -> str:
    """The sizes that inputs name by a dimension of their own."""
    found: dict[str, int] = {}
    for port in artifact.inputs:
        found.update(zip(port.shape_texts, inputs[port.name].shape, strict=True))
    return ", ".join(f"{s.name}={found[s.name]}" for s in artifact.sizes if s.name in found)


def _resized(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """An array of this shape, with the elements again and again."""
    for axis, size in enumerate(shape):
        array = np.take(array, np.arange(size) % array.shape[axis], axis)
    return np.ascontiguousarray(array)


def _sizes_time(sizes: str, times: Sequence[float]) -> SizesTime:
    q1, median, q3 = (1e3 * t for t in statistics.quantiles(times, n=4, method="inclusive"))
    return SizesTime(sizes, len(times), median, q1, q3, 1e3 * min(times))


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
    artifact: Artifact,
    profile: list[float],
    peak: float,
    bandwidth: float,
    busy: bool,
    known: bool,
) -> tuple[KernelTime, ...]:
    total = sum(profile) or 1.0
    rows = []
    for i, seconds in enumerate(profile):
        step = artifact.steps[i]
        entry = artifact.manifest.kernels[step.kernel]
        if artifact.sizes and not seconds:  # of another variant
            continue
        counted = entry.open is None or known
        rate, stream = (
            amount / seconds / 1e9 if seconds else 0.0
            for amount in (flops(entry.workload), traffic(entry.workload))
        )
        rows.append(
            KernelTime(
                step=i,
                source=step.source,
                kernel=entry.open or str(entry.workload),
                schedule=str(entry.schedule),
                origin=entry.source,
                milliseconds=seconds * 1e3,
                share=seconds / total,
                gflops=rate if counted else None,
                fraction_of_peak=rate / peak if counted and not busy else None,
                gbytes_per_s=stream if counted else None,
                fraction_of_bandwidth=stream / bandwidth if counted and not busy else None,
            )
        )
    return tuple(sorted(rows, key=lambda r: -r.milliseconds))
