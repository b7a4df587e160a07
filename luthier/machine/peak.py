"""The machine's real peak: float32 multiply-adds in registers, compiled as kernels are.

The number a data sheet gives assumes a clock that vector code does not reach, so the roofline is
measured: enough independent accumulators to hide the latency of the FMA units, no memory traffic.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from luthier.schedules import Kernel, Schedule, Target, Tensor, Workload, node
from luthier.schedules.emit.builder import PhaseBuilder, Slot
from luthier.schedules.execute import aligned
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.tvm_late import tirx

from .probe import best_seconds, load

ACCUMULATORS = 10  # two FMA units of five cycles' latency at most
STEPS = 4096  # multiply-adds of each accumulator in a chunk


def peak_gflops(target: Target, seconds: float = 0.02) -> float:
    """Float32 GFLOPS of ``target.threads`` threads together, the best of a few rounds.

    ``seconds`` is about how long one round takes. Raises ToolchainError without a linker.
    """
    kernel = _kernel(target)
    run = load(kernel, target)
    factor = aligned(target.vector_bytes)
    factor.view(np.float32)[:] = 0.5
    outs = [aligned(kernel.workload.output.nbytes) for _ in range(target.threads)]
    chunks = max(1, round(seconds / best_seconds([partial(run, (factor, outs[0]), 0, 1)])))
    best = best_seconds([partial(run, (factor, out), 0, chunks) for out in outs])
    chunk_flops = 2 * ACCUMULATORS * target.lanes(FLOAT32) * STEPS
    return target.threads * chunks * chunk_flops / best / 1e9


def _kernel(target: Target) -> Kernel:
    """Chunks of STEPS times ``acc = acc * x + x`` for ACCUMULATORS vectors."""
    lanes = target.lanes(FLOAT32)
    x, out = Tensor((lanes,)), Tensor((ACCUMULATORS * lanes,))
    phase = PhaseBuilder([Slot(0, "x", x), Slot(1, "out", out)])
    total = phase.local(ACCUMULATORS * lanes)
    with phase.unrolled(ACCUMULATORS) as a, phase.vector(lanes) as lane:
        phase.store(total, a * lanes + lane, tirx.const(0.0, "float32"))
    with phase.chunk_loop(), phase.loop(STEPS):  # noqa: SIM117 - one loop nest a statement
        with phase.unrolled(ACCUMULATORS) as a, phase.vector(lanes) as lane:
            at = a * lanes + lane
            factor = phase.load(phase["x"], lane)
            phase.store(total, at, phase.load(total, at) * factor + factor)
    with phase.unrolled(ACCUMULATORS) as a, phase.vector(lanes) as lane:
        phase.store(phase["out"], a * lanes + lane, phase.load(total, a * lanes + lane))
    workload = Workload((x,), (False,), (node("add", (0, 0), out),))
    return Kernel(workload, Schedule("peak", 1, ()), (phase.finish(1),), (None,))
