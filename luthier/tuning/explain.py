"""Why a model's kernels have the schedules that they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.autotune import Explanation, Sources, Store
from luthier.autotune import explain as explain_workloads
from luthier.autotune.measure.noise import Watch
from luthier.frontend import (
    Bounds,
    Postprocessing,
    Preprocessing,
    Shapes,
    StateNames,
    import_entries,
)
from luthier.schedules import Target, Workload
from luthier.schedules.ops.counts import flops, traffic
from luthier.schedules.target import DEFAULT_ACCURACY, check_cores

from ..arguments import FilePath, validated
from ..inputs.points import Models, Values, read_all
from ..machine.bandwidth import peak_bandwidth
from ..machine.peak import peaks
from ..machine.target import resolve
from ..records.runs import At, Run, all_runs, counts, largest, named
from ..records.sources import DEFAULT_LOG
from .footprint import stays_in_cache


@dataclass(frozen=True)
class KernelExplanation:
    """A kernel that the model runs ``count`` times, and why its winner won.

    ``gflops`` and ``gbytes_per_s`` are the winner's; the fractions are of what this machine was
    measured to reach, None where it was busy then or when the winner was timed. Convolutions count
    as the direct algorithm's. ``sizes`` are those of the runs that have it, where the model leaves
    some open; ``count`` is of all these runs. Of several models ``sizes`` begin with the entry
    points' names.
    """

    count: int
    explanation: Explanation
    gflops: float
    fraction_of_peak: float | None
    gbytes_per_s: float
    fraction_of_bandwidth: float | None
    sizes: tuple[str, ...] = ()

    @property
    def milliseconds(self) -> float:
        """Of all its calls."""
        return 1e3 * self.count * self.explanation.best.seconds


@validated
def explain(
    model: Models,
    target: str | Target = "host",
    *,
    log: FilePath = DEFAULT_LOG,
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
) -> tuple[KernelExplanation, ...]:
    """Why the log's best schedules of the model's kernels won, the longest kernels first.

    Kernels without a record are left out. Of a model with open sizes they are those ``at`` some, by
    default as ``tune`` has it. Several models are given as for ``build``. Measures this machine's
    peak and bandwidth, nothing else. Raises ModelError, LogError, TargetError, ToolchainError and
    UsageError.
    """
    resolved = resolve(target, threads, accuracy)
    check_cores(resolved.threads)
    entries = import_entries(
        read_all(
            model, shapes, values, outputs, state, bounds, example_inputs, preprocess, postprocess
        ),
        resolved,
    )
    some = all_runs(entries, at)
    called = counts([run for each in some.values() for run in each])
    with Watch(resolved.threads) as watch:
        limits, busy = watch.over(lambda: (peaks(resolved), peak_bandwidth(resolved)))
    peak, bandwidth = limits
    found = []
    wholes = [largest(entry).variant for entry in entries.values()]
    cold = not all(stays_in_cache(program, resolved) for program in wholes)
    with Sources(Store.open(log), (), resolved, cold=cold) as sources:
        explanations = explain_workloads(called, sources)
    for each in explanations:
        seconds = each.best.seconds
        rate = flops(each.workload) / seconds / 1e9
        stream = traffic(each.workload) / seconds / 1e9
        noisy = busy or (each.best.timing is not None and each.best.timing.noisy)
        found.append(
            KernelExplanation(
                count=called[each.workload],
                sizes=_sizes(some, each.workload),
                explanation=each,
                gflops=rate,
                fraction_of_peak=None if noisy else rate / peak.of(each.workload),
                gbytes_per_s=stream,
                fraction_of_bandwidth=None if noisy else stream / bandwidth,
            )
        )
    return tuple(sorted(found, key=lambda kernel: -kernel.milliseconds))


def _sizes(some: Mapping[str, Sequence[Run]], workload: Workload) -> tuple[str, ...]:
    """Of the runs that call a kernel."""
    texts = (
        named(title, run, some)
        for title, each in some.items()
        for run in each
        if any(run.workload(call) == workload for call in run.variant.calls)
    )
    return tuple(filter(None, texts))
