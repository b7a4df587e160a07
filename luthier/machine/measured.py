"""What a machine was measured to reach, and the costs that default schedules then go by."""

from __future__ import annotations

from dataclasses import dataclass, replace

from luthier.autotune.measure.noise import Watch
from luthier.schedules import Target
from luthier.schedules.emit.bfloat16 import rounds_bfloat16
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.target import check_cores, check_measurable
from luthier.schedules.target.costs import Costs

from .bandwidth import peak_bandwidth
from .peak import ACCUMULATORS, Step, bfloat16_step, multiply_add, peak_rate, peaks

# Of whole numbers of 64 bits, one after the other, which takes three cycles on every x86 processor
# with SSE4.2 (Abel and Reineke 2019, uops.info).
_MULTIPLICATIONS = Step(DTYPES["int64"], 1, lambda total, _: total * total, 1)
_CYCLES = 3
_MOST_READ = 1 << 28  # bytes that a round reads from a cache


@dataclass(frozen=True)
class Measured:
    """Rates of all threads together: billions of operations a second of float32 and of products of
    8 bits, GB/s read from each core's L2, from L3 and from memory. ``costs`` are one core's.

    ``busy``: something else kept the machine busy, twice, so that nobody knows.
    """

    gflops: float
    integer_gops: float
    l2_gbytes_per_s: float
    l3_gbytes_per_s: float
    memory_gbytes_per_s: float
    costs: Costs
    busy: bool


def measured(target: Target) -> Measured:
    """This machine as ``target``, which takes some seconds.

    Raises TargetError where this machine is not such a one or has fewer cores than threads,
    ToolchainError without a linker.
    """
    check_measurable(target)
    check_cores(target.threads)
    with Watch(target.threads) as watch:
        found, busy = watch.over(lambda: _measured(target))
    return replace(found, busy=busy)


def _measured(target: Target) -> Measured:
    top = peaks(target)
    return Measured(
        gflops=top.float32,
        integer_gops=top.whole,
        l2_gbytes_per_s=_read(target, target.threads * target.l2 // 2),
        l3_gbytes_per_s=_read(target, max(target.l3 // 2, target.threads * 2 * target.l2)),
        memory_gbytes_per_s=peak_bandwidth(target),
        costs=_costs(replace(target, threads=1)),
        busy=False,
    )


def _read(target: Target, nbytes: int) -> float:
    return peak_bandwidth(target, nbytes, times=max(1, _MOST_READ // nbytes))


def _costs(core: Target) -> Costs:
    """Of a multiply-add by how long a chain of them takes, and by how many a core starts in that
    time; of products of bfloat16 by how many there are beside those of float32; of a byte from
    memory by how much a core computes until it is there."""
    step = multiply_add(core)
    cycles = _CYCLES * peak_rate(core, _MULTIPLICATIONS, accumulators=1)  # a nanosecond
    many, chain = (peak_rate(core, step, n) for n in (ACCUMULATORS, 1))
    vector = step.operations * step.lanes
    bfloat16 = 1.0
    if rounds_bfloat16(core):
        bfloat16 = round(peak_rate(core, bfloat16_step(core)) / many, 1) / 2
    return replace(
        core.costs,
        latency=max(1, round(cycles * vector / chain)),
        multiply_adds=max(1, round(many / vector / cycles)),
        operations=core.costs.operations,
        fetched_byte=many / peak_bandwidth(core),
        bfloat16=bfloat16,
    )
