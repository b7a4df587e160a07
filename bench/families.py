"""Kernels by what bounds them, against the machine's limits."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bench.roofline import WINOGRAD, Limits, own_flops
from bench.standings import markdown
from luthier.deploy import KernelEntry
from luthier.schedules.ops.counts import traffic

COMPUTE, NARROW, MEMORY = "arithmetic", "arithmetic, narrow", "memory"
WIDE = 64  # the least depth and columns of a product that can fill the machine
MOST = 10


@dataclass(frozen=True)
class Call:
    """A kernel's call in a model: its median milliseconds, and its share of the model's time."""

    model: str
    kernel: KernelEntry
    milliseconds: float
    share: float
    limits: Limits

    @property
    def bound(self) -> str:
        """MEMORY where the machine does more operations in the time of the kernel's bytes than the
        kernel has; otherwise COMPUTE or NARROW by the size of its product.
        """
        if self._arithmetic <= self._movement:
            return MEMORY
        return COMPUTE if min(product(self.kernel)) >= WIDE else NARROW

    @property
    def floor(self) -> float:
        """Milliseconds at the limits: of its own operations or its bytes, whichever take longer."""
        return max(self._arithmetic, self._movement)

    @property
    def of_limit(self) -> float:
        """The share of the limit that bounds it; above 1 where the data come from the caches."""
        return self.floor / self.milliseconds

    @property
    def _arithmetic(self) -> float:
        return own_flops(self.kernel) / self.limits.gflops / 1e6

    @property
    def _movement(self) -> float:
        return traffic(self.kernel.workload) / self.limits.gbytes_per_s / 1e6


def product(kernel: KernelEntry) -> tuple[int, int]:
    """Depth of the reduction and columns of the matrix product that a kernel is, in one group of a
    convolution; Winograd's reduces over channels alone. Zeros where it is none.
    """
    workload = kernel.workload
    for node in workload.nodes:
        groups = int(node.attr("groups", 1))
        if node.op in ("conv2d", "conv2d_planes"):
            columns, *taps, channels = workload.tensor(node.args[1]).shape
            depth = channels if kernel.schedule.template in WINOGRAD else channels * math.prod(taps)
            return depth, columns // groups
        if node.op == "conv2d_transpose":
            depth, *outs = workload.tensor(node.args[1]).shape
            return depth // groups, math.prod(outs)
        if node.op == "matmul":
            return workload.tensor(node.args[0]).shape[-1], node.out.shape[-1]
    return 0, 0


def families(calls: Sequence[Call]) -> str:
    """A table by bound and template: how many calls, how much of the time, how near the limit.

    Every model counts the same in the share of the time.
    """
    groups = defaultdict(list)
    for call in calls:
        groups[call.bound, call.kernel.schedule.template].append(call)
    models = len({call.model for call in calls})
    head = ["bound by", "template", "calls", "time", "least of the limit", "median", "most"]
    lines = [head, ["---", "---"] + ["---:"] * (len(head) - 2)]
    order = (COMPUTE, NARROW, MEMORY)
    for (bound, template), some in sorted(
        groups.items(), key=lambda g: (order.index(g[0][0]), -sum(c.share for c in g[1]))
    ):
        time = sum(c.share for c in some) / models
        near = [c.of_limit for c in some]
        spread = [f"{x:.0%}" for x in (min(near), statistics.median(near), max(near))]
        lines.append([bound, template, str(len(some)), f"{time:.1%}", *spread])
    return markdown(lines)


def furthest(calls: Sequence[Call]) -> str:
    """A table of the kernels that lose the most time to their floors, over their calls."""
    kernels = defaultdict(list)
    for call in calls:
        kernels[call.model, call.kernel.workload.key].append(call)
    head = ["model", "kernel", "template", "bound by", "calls", "ms", "floor ms", "above it"]
    lines = [head, ["---"] * 4 + ["---:"] * (len(head) - 4)]
    rows = []
    for some in kernels.values():
        time, floor = sum(c.milliseconds for c in some), sum(c.floor for c in some)
        rows.append((time - floor, time, floor, some))
    for above, time, floor, some in sorted(rows, key=lambda r: -r[0])[:MOST]:
        entry = some[0].kernel
        names = [some[0].model, f"`{entry.workload}`", entry.schedule.template, some[0].bound]
        numbers = [f"{x:.3f}" for x in (time, floor, above)]
        lines.append([*names, str(len(some)), *numbers])
    return markdown(lines)
