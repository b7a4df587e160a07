"""The machine's real peaks: multiply-adds in registers, compiled as kernels are.

The number a data sheet gives assumes a clock that vector code does not reach, so the roofline is
measured: enough independent accumulators to hide the latency of the units, no memory traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from luthier.schedules import Kernel, Schedule, Target, Tensor, Workload, node
from luthier.schedules.emit.builder import PhaseBuilder, Slot
from luthier.schedules.emit.dot_products import INT8, UINT8, instruction, layouts
from luthier.schedules.emit.tile import splat, vector_index
from luthier.schedules.execute import aligned
from luthier.schedules.ir.dtype import FLOAT32, INT32, DType
from luthier.schedules.tir.literals import constant
from luthier.schedules.tvm_late import tirx

from .probe import best_seconds, load

ACCUMULATORS = 12  # two units of six cycles' latency at most
STEPS = 4096  # multiply-adds of each accumulator in a chunk

_Step = Callable[[Any, Any], Any]  # a vector of sums after one more step, of it and a factor


def peak_gflops(target: Target, seconds: float = 0.02) -> float:
    """Float32 GFLOPS of ``target.threads`` threads together, the best of a few rounds.

    ``seconds`` is about how long one round takes. Raises ToolchainError without a linker.
    """
    return _peak(target, seconds, FLOAT32, lambda total, factor: total * factor + factor, 1)


def peak_gops(target: Target, seconds: float = 0.02) -> float:
    """The same of products of 8 bits with sums in int32, in 10^9 operations a second."""
    fours = layouts(UINT8, INT8, target) == ("fours",)
    micro = instruction(UINT8, INT8, target, "fours" if fours else "words")
    lanes = micro.steps * target.lanes(INT32)

    def step(total: Any, factor: Any) -> Any:
        own = tirx.call_intrin(f"{micro.b.name}x{lanes}", "tirx.reinterpret", factor)
        # Where sums are added afterwards, no product may be the same twice.
        return micro.emit(total, factor if micro.starts else total, own)

    return _peak(target, seconds, INT32, step, micro.steps)


def _peak(target: Target, seconds: float, element: DType, step: _Step, steps: int) -> float:
    """10^9 operations a second of a step that does ``steps`` multiply-adds in each lane."""
    kernel = _kernel(target, element, step)
    run = load(kernel, target)
    factor = aligned(target.vector_bytes)
    factor.view(element.numpy)[:] = 0.5 if element.is_float else 1
    outs = [aligned(kernel.workload.output.nbytes) for _ in range(target.threads)]
    chunks = max(1, round(seconds / best_seconds([partial(run, (factor, outs[0]), 0, 1)])))
    best = best_seconds([partial(run, (factor, out), 0, chunks) for out in outs])
    chunk = 2 * steps * ACCUMULATORS * target.lanes(element) * STEPS
    return target.threads * chunks * chunk / best / 1e9


def _kernel(target: Target, element: DType, step: _Step) -> Kernel:
    """Chunks of STEPS times ``acc = step(acc, x)`` for ACCUMULATORS vectors."""
    lanes = target.lanes(element)
    x, out = Tensor((lanes,), element.name), Tensor((ACCUMULATORS * lanes,), element.name)
    phase = PhaseBuilder([Slot(0, "x", x), Slot(1, "out", out)])
    total = phase.local(ACCUMULATORS * lanes, element.name)
    places = [vector_index(a * lanes, lanes) for a in range(ACCUMULATORS)]
    for place in places:
        phase.store(total, place, splat(constant(0.0, element.name), lanes))
    with phase.chunk_loop(), phase.loop(STEPS):
        factor = phase.load(phase["x"], vector_index(0, lanes))
        for place in places:
            phase.store(total, place, step(phase.load(total, place), factor))
    for place in places:
        phase.store(phase["out"], place, phase.load(total, place))
    workload = Workload((x,), (False,), (node("add", (0, 0), out),))
    return Kernel(workload, Schedule("peak", 1, ()), (phase.finish(1),), (None,))
