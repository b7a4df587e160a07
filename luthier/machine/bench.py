"""How fast an artifact runs on this machine, and how much of the machine that uses."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from luthier.autotune.measure.noise import Watch
from luthier.deploy import Artifact, EntryNote, load
from luthier.schedules import Workload
from luthier.schedules.ops.counts import flops, traffic
from luthier.schedules.target import check_cores

from ..arguments import FilePath, validated
from ..records.runs import At
from .bandwidth import peak_bandwidth
from .bench_inputs import Given, given
from .energy import joules, zones
from .peak import Peaks, peaks

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
    """Milliseconds of a run with some sizes; ``tokens_per_s`` as in ``BenchReport``."""

    sizes: str
    runs: int
    median: float
    q1: float
    q3: float
    minimum: float
    tokens_per_s: float | None = None


@dataclass(frozen=True)
class BenchReport:
    """Times are milliseconds of one run; ``q1`` and ``q3`` are the quartiles around the median.

    ``gflop`` is the arithmetic of one run, counted as ``schedules.counts`` does, ``peak_gflops``
    what this machine's float32 units were measured to reach with as many threads,
    ``peak_integer_gops`` the same of products of 8 bits, ``peak_bandwidth`` the GB/s that so many
    threads were measured to read from its memory. ``fraction_of_peak`` is the time that the
    arithmetic would take at the peak of its kind, over the median.
    ``busy``: something else kept the machine busy, twice, while that or the runs were timed; then
    nobody knows the fraction, which is None. Where sizes are open, ``sizes`` are those of the runs,
    ``at`` the times of all that were asked for, and the arithmetic is None but for the largest.
    ``entry`` is the entry point's name. Where a state grows, ``tokens_per_s`` is by how much a run
    lets it, over the median: None where none does. ``joules`` are what the packages of the
    processor take for a run, idle parts included; None where their counters cannot be read.
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
    peak_integer_gops: float
    fraction_of_peak: float | None
    peak_bandwidth: float
    busy: bool
    kernels: tuple[KernelTime, ...]
    sizes: str = ""
    at: tuple[SizesTime, ...] = ()
    entry: str = ""
    tokens_per_s: float | None = None
    joules: float | None = None


@validated
def bench(
    folder: FilePath,
    *,
    entry: str | None = None,
    threads: int | None = None,
    seconds: float = 3.0,
    kernels: bool = False,
    at: At | None = None,
) -> BenchReport:
    """Time the artifact on its own sample for about ``seconds``; ``kernels`` adds a profile.

    Where sizes are open, it is timed for so long ``at`` each of some, on the sample's elements
    again and again: ``{"tokens": (32, 128)}``. ``entry`` names the entry point, by default the
    first. States hold the same before each run, as much as ``at`` says: ``{"past": 1000}``. What
    was timed while something else kept the machine busy is timed once more. Raises what ``load``
    raises, ArtifactError where the sample is missing, TargetError where there are more threads than
    cores, UsageError.
    """
    with (
        load(folder, threads=threads) as first,
        first.entry(first.entries[0] if entry is None else entry) as artifact,
    ):
        notes = {note.name: note for note in artifact.manifest.entries}
        note = notes[first.entries[0] if entry is None else entry]
        samples = given(artifact, note, at or {})
        target = replace(artifact.manifest.target, threads=artifact.threads)
        check_cores(target.threads)
        with Watch(target.threads) as watch:
            limits, busy_peaks = watch.over(lambda: (peaks(target), peak_bandwidth(target)))
            all_times, busy_times = watch.over(
                lambda: [_times(artifact, each, seconds) for each in samples]
            )
            times = all_times[0]
            profile, busy_profile = watch.over(
                lambda: _profile(artifact, samples[0], len(times)) if kernels else []
            )
            rows = [_appended(artifact, each) for each in samples]
            energy = joules(lambda: _runs(artifact, samples[0], seconds), zones())
    (peak, bandwidth), busy = limits, busy_peaks or busy_times or busy_profile
    known = samples[0].largest
    called = _largest_run(artifact, note)
    work = sum(map(flops, called)) / 1e9
    at_peak = sum(flops(each) / peak.of(each) for each in called) / 1e9
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
        peak_gflops=peak.float32,
        peak_integer_gops=peak.whole,
        fraction_of_peak=None if busy or not known else at_peak / median,
        peak_bandwidth=bandwidth,
        busy=busy,
        kernels=_kernel_times(artifact, note, profile, peak, bandwidth, busy, known),
        sizes=samples[0].sizes,
        at=tuple(
            _sizes_time(each.sizes, some, more)
            for each, some, more in zip(samples, all_times, rows, strict=True)
            if each.sizes
        ),
        entry=note.name,
        tokens_per_s=rows[0] / median if rows[0] else None,
        joules=energy,
    )


def _largest_run(artifact: Artifact, note: EntryNote) -> list[Workload]:
    """The kernels that a run with the largest sizes calls."""
    most = [symbol.most for symbol in (*note.sizes, *note.lengths)]
    fits = (v for v in note.variants if all(m in s for m, s in zip(most, v.sizes, strict=True)))
    kernels = artifact.manifest.kernels
    return [kernels[step.kernel].workload for step in next(fits).steps]


def _appended(artifact: Artifact, sample: Given) -> int:
    """By how much a run lets states grow."""
    sample.prepare(artifact)
    before = artifact.state.lengths
    if not before:
        return 0
    artifact.run(sample.inputs)
    after = artifact.state.lengths
    return max(after[name] - length for name, length in before.items())


def _sizes_time(sizes: str, times: Sequence[float], rows: int) -> SizesTime:
    q1, median, q3 = (1e3 * t for t in statistics.quantiles(times, n=4, method="inclusive"))
    rate = 1e3 * rows / median if rows else None
    return SizesTime(sizes, len(times), median, q1, q3, 1e3 * min(times), rate)


def _times(artifact: Artifact, sample: Given, seconds: float) -> list[float]:
    """Seconds of single runs, after runs that warm caches and clocks for a tenth of the time."""

    def prepare() -> None:
        sample.prepare(artifact)

    repeat(artifact, sample.inputs, seconds / 10, least=2, prepare=prepare)
    return repeat(artifact, sample.inputs, seconds, least=LEAST_RUNS, prepare=prepare)


def _runs(artifact: Artifact, sample: Given, seconds: float) -> int:
    """How many runs there were in this time."""

    def prepare() -> None:
        sample.prepare(artifact)

    return len(repeat(artifact, sample.inputs, seconds, least=LEAST_RUNS, prepare=prepare))


def repeat(
    artifact: Artifact,
    inputs: Inputs,
    seconds: float,
    least: int,
    prepare: Callable[[], None] = lambda: None,
) -> list[float]:
    """Seconds of each of ``least`` runs, and of more until so many seconds are over.

    What ``prepare`` does before each run is not timed.
    """
    given = {p.name: inputs[p.name] for p in artifact.inputs}
    arrays = list(given.values())
    apart = bool(artifact.takes or artifact.gives)  # which are called by name
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or (time.perf_counter() < end and len(times) < MOST_RUNS):
        prepare()
        start = time.perf_counter()
        if apart:
            artifact.run(given, texts=False, lists=False)
        else:
            artifact(*arrays)
        times.append(time.perf_counter() - start)
    return times


def _profile(artifact: Artifact, sample: Given, runs: int) -> list[float]:
    """Median seconds of each step."""
    profiles = []
    for _ in range(min(runs, MOST_PROFILES)):
        sample.prepare(artifact)
        profiles.append(artifact.profile(sample.inputs))
    return [statistics.median(step) for step in zip(*profiles, strict=True)]


def _kernel_times(
    artifact: Artifact,
    note: EntryNote,
    profile: list[float],
    peak: Peaks,
    bandwidth: float,
    busy: bool,
    known: bool,
) -> tuple[KernelTime, ...]:
    total = sum(profile) or 1.0
    rows = []
    for i, seconds in enumerate(profile):
        step = artifact.steps[i]
        kernel = artifact.manifest.kernels[step.kernel]
        if len(note.variants) > 1 and not seconds:  # of another variant
            continue
        counted = kernel.open is None or known
        rate, stream = (
            amount / seconds / 1e9 if seconds else 0.0
            for amount in (flops(kernel.workload), traffic(kernel.workload))
        )
        rows.append(
            KernelTime(
                step=i,
                source=step.source,
                kernel=kernel.open or str(kernel.workload),
                schedule=str(kernel.schedule),
                origin=kernel.source,
                milliseconds=seconds * 1e3,
                share=seconds / total,
                gflops=rate if counted else None,
                fraction_of_peak=rate / peak.of(kernel.workload) if counted and not busy else None,
                gbytes_per_s=stream if counted else None,
                fraction_of_bandwidth=stream / bandwidth if counted and not busy else None,
            )
        )
    return tuple(sorted(rows, key=lambda r: -r.milliseconds))
