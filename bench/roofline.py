"""What an artifact's kernels would take at this machine's limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from luthier.deploy import KernelEntry
from luthier.machine.bandwidth import peak_bandwidth
from luthier.machine.peak import peaks
from luthier.schedules.ops.counts import flops, is_whole
from luthier.schedules.target import host

WINOGRAD = "winograd"  # the template
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

    Winograd's F(m x m, 3 x 3) multiplies (m + 2)^2 times for each tile and pair of channels where
    the direct algorithm does 9 m^2 times; its transforms count nothing (Lavin and Gray 2015).
    """
    direct = flops(kernel.workload)
    if kernel.schedule.template != WINOGRAD:
        return direct
    m = int(kernel.schedule["m"])
    return direct * (m + 2) ** 2 / (9 * m**2)


def winograd_applies(kernels: Iterable[KernelEntry]) -> bool:
    """Whether Winograd's kernels have at least WINOGRAD_SHARE of the model's direct operations."""
    every = list(kernels)
    share = total_flops(k for k in every if k.schedule.template == WINOGRAD)
    return 0 < share >= WINOGRAD_SHARE * total_flops(every)
