"""The machine's real peak: float32 multiply-adds in registers, compiled as kernels are.

The number a data sheet gives assumes a clock that vector code does not reach, so the roofline is
measured: enough independent accumulators to hide the latency of the FMA units, no memory traffic.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tvm import tirx

from luthier.schedules import Kernel, Schedule, Target, Tensor, Workload, node
from luthier.schedules.codegen import compile_object
from luthier.schedules.emit import PhaseBuilder, Slot
from luthier.schedules.execute import aligned, link

ACCUMULATORS = 10  # two FMA units of five cycles' latency at most
STEPS = 4096  # multiply-adds of each accumulator in a chunk
ROUNDS = 9


def peak_gflops(target: Target, seconds: float = 0.02) -> float:
    """Float32 GFLOPS of ``target.threads`` threads together, the best of a few rounds.

    ``seconds`` is about how long one round takes. Raises ToolchainError without a linker.
    """
    chunk_flops = 2 * ACCUMULATORS * target.lanes * STEPS
    with tempfile.TemporaryDirectory(prefix="luthier-") as folder:
        run = _load(_kernel(target), target, Path(folder))
        chunks = max(1, round(seconds / min(_seconds(run, 1) for _ in range(5))))
        with ThreadPoolExecutor(target.threads) as threads:
            rounds = [_round(run, chunks, threads, target.threads) for _ in range(ROUNDS)]
    return target.threads * chunks * chunk_flops / min(rounds) / 1e9


def _kernel(target: Target) -> Kernel:
    """Chunks of STEPS times ``acc = acc * x + x`` for ACCUMULATORS vectors."""
    lanes = target.lanes
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


def _load(kernel: Kernel, target: Target, folder: Path) -> Callable[[int], None]:
    """The compiled kernel as a function of how many chunks to do; threads may call it at once."""
    obj, lib = folder / "peak.o", folder / "peak.so"
    obj.write_bytes(compile_object({"peak": kernel}, target))
    link([obj], lib)
    function = ctypes.CDLL(str(lib)).peak_0
    factor = aligned(4 * target.lanes)
    factor.view(np.float32)[:] = 0.5

    def run(chunks: int) -> None:
        out = aligned(4 * kernel.workload.output.size)
        buffers = (ctypes.c_void_p * 2)(factor.ctypes.data, out.ctypes.data)
        function(buffers, None, 0, chunks)

    return run


def _seconds(run: Callable[[int], None], chunks: int) -> float:
    start = time.perf_counter()
    run(chunks)
    return time.perf_counter() - start


def _round(
    run: Callable[[int], None], chunks: int, threads: ThreadPoolExecutor, count: int
) -> float:
    start = time.perf_counter()
    list(threads.map(run, [chunks] * count))
    return time.perf_counter() - start
