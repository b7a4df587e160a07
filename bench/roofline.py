"""What an artifact's kernels would take at this machine's limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from luthier.deploy import KernelEntry
from luthier.machine.bandwidth import peak_bandwidth
from luthier.machine.peak import peaks
from luthier.schedules.ops.counts import flops, is_whole
from luthier.schedules.target import host

WINOGRAD = ("winograd", "winograd_line")  # the templates
WINOGRAD_SHARE = 0.2  # of the operations, from where on it matters for a model


@dataclass(frozen=True)
class Limits:
    """What ``threads`` threads were measured to reach, in float32 and reading from memory; in
    products of 8 bits as in float32 where these were not measured."""

    threads: int
    gflops: float
    gbytes_per_s: float
    gops: float | None = None

    def arithmetic(self, kernels: Iterable[KernelEntry]) -> float:
        """Seconds that one run's operations take at least."""

        def pace(kernel: KernelEntry) -> float:
            return self.gops if self.gops and is_whole(kernel.workload) else self.gflops

        return sum(flops(k.workload) * k.count / pace(k) for k in kernels) / 1e9


def measured(threads: int) -> Limits:
    """This machine's."""
    target = host(threads)
    found = peaks(target)
    return Limits(threads, found.float32, peak_bandwidth(target), found.whole)


def total_flops(kernels: Iterable[KernelEntry]) -> int:
    """Operations of one run, convolutions by the direct algorithm."""
    return sum(flops(k.workload) * k.count for k in kernels)


def own_flops(kernel: KernelEntry) -> float:
    """Operations of one call as its schedule does them.

    Winograd's F(m, k) multiplies m + k - 1 times for each tile, pair of channels and side that has
    k taps, where the direct algorithm does m k times; its transforms count nothing (Lavin and Gray
    2015).
    """
    share = 1.0
    if kernel.schedule.template in WINOGRAD:
        m = int(kernel.schedule["m"])
        weights = kernel.workload.tensor(kernel.workload.nodes[0].args[1])
        for taps in weights.shape[1:3]:
            share *= (m + taps - 1) / (m * taps) if taps > 1 else 1
    return flops(kernel.workload) * share


def winograd_applies(kernels: Iterable[KernelEntry]) -> bool:
    """Whether Winograd's kernels have at least WINOGRAD_SHARE of the model's direct operations."""
    every = list(kernels)
    share = total_flops(k for k in every if k.schedule.template in WINOGRAD)
    return 0 < share >= WINOGRAD_SHARE * total_flops(every)
