"""What the loop nests of schedules look like, as numbers: a whole table of schedules at once.

Nothing is built or lowered. A template knows how its knobs cut its loops; what follows from that is
said here in terms that all templates share, so that what was learnt of one kernel helps to
predict another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.dtype import FLOAT32
from ..ir.workload import Workload
from ..target.target import Target

_LEAST = 2.0**-20  # whose logarithm stands for that of zero
Numbers = Any  # an array with one number a schedule, or a number that all share
Table = Mapping[str, Numbers]  # knob -> the choice of every schedule in a table


@dataclass(frozen=True)
class Loops:
    """The loop nest of the phase that does most, a number (or array) for each schedule of a table.

    A *chunk* is what a thread takes at once. A *step* is one pass over the register tile: it loads
    ``loads`` vectors and scalars and updates ``sums`` accumulators; where a tile is narrower at the
    border it does less, so ``work``, the vectors computed in all, is at most ``steps * sums``.
    """

    chunks: Numbers
    sums: Numbers = 1
    loads: Numbers = 1
    depth: Numbers = 1  # steps one after the other for one register tile
    steps: Numbers = 1  # in all chunks
    work: Numbers = 1  # vectors of accumulators updated, in all chunks
    inner: Numbers = 1  # bytes that the steps of one register tile read
    kept: Numbers = 1  # of them, bytes that the loop around it reads again
    streamed: Numbers = 1  # bytes that all such loops read anew, in all chunks
    chunk: Numbers = 1  # bytes that one chunk reads and writes, each counted once
    other: Numbers = 0  # elements moved or transformed besides the steps


def chosen(choices: Numbers, of: Mapping[str, Numbers]) -> Numbers:
    """What goes with a knob's choice, of a number for each that there is."""
    first, *others = of.values()
    if all(other == first for other in others):
        return first
    return np.select([np.asarray(choices == name) for name in of], list(of.values()))


def streaming(workload: Workload, target: Target, grain: Numbers | None = None) -> Loops:
    """Of kernels that pass once over what is largest, ``grain`` elements of it a chunk."""
    size = max([workload.output.size, *(t.size for t in workload.inputs)])
    grain = size if grain is None else np.minimum(grain, size)
    work = size / target.lanes(FLOAT32)
    return Loops(chunks=np.ceil(size / grain), chunk=2 * FLOAT32.bytes * grain, work=work)


def features(loops: Loops, target: Target, operations: float) -> dict[str, NDArray[np.float64]]:
    """Named columns, in ratios to the machine and to ``operations``, the workload's arithmetic.

    Sizes are logarithms (base 2) of bytes over those of the cache that should hold them.
    """
    chunks, threads = np.maximum(1, loops.chunks), target.threads
    vectors = max(1.0, operations / (2 * target.lanes(FLOAT32)))
    full = np.maximum(1, loops.sums * loops.steps)
    # A core that starts one multiply-add and two loads a cycle; sums depend on themselves.
    latency = target.costs.latency
    cycles = np.maximum.reduce(
        np.broadcast_arrays(loops.work, loops.steps * loops.loads / 2, loops.steps * latency)
    )
    busiest = np.ceil(chunks / threads) * threads / chunks
    found = {
        "chunks a thread": chunks / threads,
        "sums": loops.sums,
        "depth": loops.depth,
        "inner of L1": loops.inner / target.l1,
        "kept of L1": loops.kept / target.l1,
        "chunk of L1": loops.chunk / target.l1,
        "chunk of L2": loops.chunk / target.l2,
        "streamed a vector": loops.streamed / vectors,
        "moved a vector": chunks * loops.chunk / vectors,
        "moved of L3": chunks * loops.chunk / target.l3,
        "work": loops.work / vectors,
        "cycles": cycles / vectors,
        "busiest": busiest,
        "busiest cycles": busiest * cycles / vectors,
        "other": loops.other / vectors,
    }
    logs = {n: np.log2(np.maximum(v, _LEAST)) for n, v in found.items()}
    return {
        **logs,
        "loads a sum": loops.loads / np.maximum(1, loops.sums),
        "registers": (loops.sums + loops.loads) / target.vector_registers,
        "border": 1 - loops.work / full,
    }
