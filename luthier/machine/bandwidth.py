"""The machine's memory bandwidth: float32 numbers summed from memory, compiled as kernels are.

The method is STREAM's (McCalpin 1995, *Memory Bandwidth and Machine Balance in Current High
Performance Computers*): all threads at once, each over its part of a buffer several times as large
as the last cache, the best of a few rounds. STREAM's kernels also write; this one only reads, as
kernels mostly do, and a read costs one transfer where a write may cost two.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from luthier.schedules import Kernel, Schedule, Target, Tensor, Workload, node
from luthier.schedules.emit.builder import PhaseBuilder, Slot
from luthier.schedules.execute import aligned
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.tir.indices import modulo
from luthier.schedules.tvm_late import tirx

from .probe import best_seconds, load

ACCUMULATORS = 8
CHUNK = 64 << 10  # bytes
LAST_CACHES = 4  # the buffer, in sizes of the last cache
MOST = 1 << 30  # bytes of the buffer


def peak_bandwidth(target: Target, nbytes: int | None = None, times: int = 1) -> float:
    """GB/s that ``target.threads`` threads together read, the best of a few rounds.

    ``nbytes`` is about how many bytes they read in a round, by default four times the last cache,
    so many ``times`` one after the other. Raises ToolchainError without a linker.
    """
    wanted = min(LAST_CACHES * target.l3 if nbytes is None else nbytes, MOST)
    each = max(1, wanted // CHUNK // target.threads)  # chunks of a thread
    kernel = _kernel(target, each, times)
    run = load(kernel, target)
    rows = [aligned(each * CHUNK) for _ in range(target.threads)]
    for row in rows:
        row.view(np.float32)[:] = 0.5  # pages that were never written are all one page
    outs = [aligned(kernel.workload.output.nbytes) for _ in rows]
    tasks = [partial(run, pair, 0, each * times) for pair in zip(rows, outs, strict=True)]
    return target.threads * each * times * CHUNK / best_seconds(tasks) / 1e9


def _kernel(target: Target, held: int, times: int) -> Kernel:
    """Sums of the chunks' vectors, in ACCUMULATORS vectors; so many chunks again and again."""
    lanes = target.lanes(FLOAT32)
    row = ACCUMULATORS * lanes
    steps = CHUNK // FLOAT32.bytes // row
    x, out = Tensor((held * steps * row,)), Tensor((row,))
    phase = PhaseBuilder([Slot(0, "x", x), Slot(1, "out", out)])
    total = phase.local(row)
    with phase.unrolled(ACCUMULATORS) as a, phase.vector(lanes) as lane:
        phase.store(total, a * lanes + lane, tirx.const(0.0, "float32"))
    with phase.chunk_loop() as chunk, phase.loop(steps) as step:
        first = phase.let((modulo(chunk, held) * steps + step) * row)
        with phase.unrolled(ACCUMULATORS) as a, phase.vector(lanes) as lane:
            at = a * lanes + lane
            phase.store(total, at, phase.load(total, at) + phase.load(phase["x"], first + at))
    with phase.unrolled(ACCUMULATORS) as a, phase.vector(lanes) as lane:
        phase.store(phase["out"], a * lanes + lane, phase.load(total, a * lanes + lane))
    workload = Workload((x,), (False,), (node("add", (0, 0), out),))
    return Kernel(workload, Schedule("bandwidth", 1, ()), (phase.finish(held * times),), (None,))
