"""The machine's real peaks: multiply-adds in registers, compiled as kernels are.

The number a data sheet gives assumes a clock that vector code does not reach, so the roofline is
measured: enough independent accumulators to hide the latency of the units, no memory traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from luthier.schedules import Kernel, Schedule, Target, Tensor, Workload, node
from luthier.schedules.emit.bfloat16 import BITS, PAIRS, SOURCE
from luthier.schedules.emit.builder import PhaseBuilder, Slot
from luthier.schedules.emit.dot_products import INT8, INT16, UINT8, fours, layouts, pairs
from luthier.schedules.emit.tile import column_parts, vector_index
from luthier.schedules.emit.whole_tiles import tile_layouts, tile_product
from luthier.schedules.execute import aligned
from luthier.schedules.ir.dtype import FLOAT32, INT32, DType
from luthier.schedules.ops.counts import is_whole
from luthier.schedules.tir.indices import Expr
from luthier.schedules.tvm_late import tirx

from .probe import best_seconds, load

ACCUMULATORS = 12  # two units, of six cycles' latency at most
REINTERPRET = "tirx.reinterpret"
STEPS = 4096  # multiply-adds of each accumulator in a chunk
_ROWS, _COLUMNS, _BYTES, _LANES = 32, 32, 64, 16  # of four tiles of sums, and of a row of A
_OF_TILES = 2 * _ROWS * _COLUMNS * _BYTES


@dataclass(frozen=True)
class Step:
    """What each accumulator, a vector of ``sums`` with so many ``lanes``, does again and again:
    ``emit`` writes its next value, made of the value before and of numbers that stay in registers,
    in so many operations a lane. It may call the functions of ``source``, in LLVM's language."""

    sums: DType
    lanes: int
    emit: Callable[[Expr, Expr], Expr]
    operations: int
    source: str = ""


@dataclass(frozen=True)
class Peaks:
    """Billions of operations a second: of float32, and of products of 8 bits with sums of 32."""

    float32: float
    whole: float

    def of(self, workload: Workload) -> float:
        """That of the workload's arithmetic."""
        return self.whole if is_whole(workload) else self.float32


def peaks(target: Target) -> Peaks:
    """Those of ``target.threads`` threads together; raises ToolchainError without a linker."""
    if tile_layouts(UINT8, INT8, target):
        return Peaks(peak_gflops(target), _rate(target, tile_kernel(), _OF_TILES, 3))
    return Peaks(peak_gflops(target), peak_rate(target, whole_step(target)))


def peak_gflops(target: Target, seconds: float = 0.02) -> float:
    """Float32 GFLOPS of ``target.threads`` threads together, the best of a few rounds.

    ``seconds`` is about how long one round takes. Raises ToolchainError without a linker.
    """
    return peak_rate(target, multiply_add(target), seconds=seconds)


def peak_rate(
    target: Target, step: Step, accumulators: int = ACCUMULATORS, seconds: float = 0.02
) -> float:
    """Billions of ``step``'s operations a second, of all threads together, with so many vectors of
    sums. Raises ToolchainError without a linker."""
    operations = step.operations * accumulators * step.lanes
    number = 0.5 if step.sums == FLOAT32 else 0x01030105
    return _rate(target, _kernel(step, accumulators), operations, number, seconds)


def _rate(
    target: Target, kernel: Kernel, operations: int, number: float, seconds: float = 0.02
) -> float:
    """Billions of operations a second, of all threads together, of a kernel of one input, all of
    whose elements are ``number``, that does so many in a step."""
    run, (given,) = load(kernel, target), kernel.workload.inputs
    factor = aligned(given.nbytes)
    factor.view(given.element.numpy)[:] = number
    outs = [aligned(kernel.workload.output.nbytes) for _ in range(target.threads)]
    chunks = max(1, round(seconds / best_seconds([partial(run, (factor, outs[0]), 0, 1)])))
    best = best_seconds([partial(run, (factor, out), 0, chunks) for out in outs])
    return target.threads * chunks * operations * STEPS / best / 1e9


def multiply_add(target: Target) -> Step:
    """Of float32."""
    return Step(FLOAT32, target.lanes(FLOAT32), lambda total, factor: total * factor + factor, 2)


def bfloat16_step(target: Target) -> Step:
    """Products of bfloat16 in pairs."""
    lanes = target.lanes(FLOAT32)

    def emit(total: Expr, factor: Expr) -> Expr:
        own = tirx.call_intrin(f"{BITS.name}x{2 * lanes}", REINTERPRET, factor)
        return PAIRS.emit(total, tirx.call_intrin(f"int32x{lanes}", REINTERPRET, factor), own)

    return Step(FLOAT32, lanes, emit, 4, SOURCE)


def whole_step(target: Target) -> Step:
    """Products of 8 bits by the fastest instruction that the target has."""
    lanes = target.lanes(INT32)

    def emit_fours(total: Expr, factor: Expr) -> Expr:
        return four.emit(total, factor, tirx.call_intrin(f"int8x{4 * lanes}", REINTERPRET, factor))

    def emit_pairs(total: Expr, factor: Expr) -> Expr:
        # By the sums: a product of what never changes would be taken out of the loop.
        return pair.emit(total, factor, tirx.call_intrin(f"int16x{2 * lanes}", REINTERPRET, total))

    if "fours" in layouts(UINT8, INT8, target):
        four = fours(UINT8, lanes)
        return Step(INT32, lanes, emit_fours, 8)
    pair = pairs(INT16, lanes)
    return Step(INT32, lanes, emit_pairs, 4)


def tile_kernel() -> Kernel:
    """Chunks of STEPS steps of whole tiles, whose operands stay in L1."""
    x, out = Tensor((_ROWS * _BYTES,), UINT8.name), Tensor((_ROWS * _COLUMNS,), INT32.name)
    phase = PhaseBuilder([Slot(0, "x", x), Slot(1, "out", out)])
    micro = tile_product(UINT8, UINT8, _BYTES)
    with micro.registers(phase, _COLUMNS) as register:
        tile = register(_ROWS, column_parts(_COLUMNS, _LANES))
        with phase.chunk_loop(), phase.loop(STEPS):
            micro.step(tile, (phase["x"], 0, _BYTES), (phase["x"], 0))
        tile.finish(_COLUMNS, lambda m, n, x: phase.store(phase["out"], m * _COLUMNS + n, x))
    workload = Workload((x,), (False,), (node("add", (0, 0), out),))
    return Kernel(workload, Schedule("peak", 1, ()), (phase.finish(1),), (None,))


def _kernel(step: Step, accumulators: int) -> Kernel:
    """Chunks of STEPS steps for each of the accumulators, which nothing else depends on."""
    lanes, sums = step.lanes, step.sums.name
    x, out = Tensor((lanes,), sums), Tensor((accumulators * lanes,), sums)
    phase = PhaseBuilder([Slot(0, "x", x), Slot(1, "out", out)])
    total = phase.local(accumulators * lanes, sums)
    if step.source:
        phase.define(step.source)
    with phase.unrolled(accumulators) as a, phase.vector(lanes) as lane:
        phase.store(total, a * lanes + lane, phase.load(phase["x"], lane))
    with phase.chunk_loop(), phase.loop(STEPS):  # noqa: SIM117 - one loop nest a statement
        with phase.unrolled(accumulators) as a:
            own = vector_index(a * lanes, lanes)
            factor = phase.load(phase["x"], vector_index(0, lanes))
            phase.store(total, own, step.emit(phase.load(total, own), factor))
    with phase.unrolled(accumulators) as a, phase.vector(lanes) as lane:
        phase.store(phase["out"], a * lanes + lane, phase.load(total, a * lanes + lane))
    workload = Workload((x,), (False,), (node("add", (0, 0), out),))
    return Kernel(workload, Schedule("peak", 1, ()), (phase.finish(1),), (None,))
