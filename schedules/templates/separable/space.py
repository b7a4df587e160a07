"""Which workloads are a 1x1 convolution followed by a depthwise one, and their kernels' knobs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ...emit.tile import LINE, fits_registers
from ...ir.dtype import FLOAT32
from ...ir.space import Config, Knob, Space
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..depthwise.emit import is_depthwise
from ..gemm.space import Product, product
from ..loops import Knobs, Loops
from ..window import Axis, axes

NAME = "separable"
VERSION = 1


@dataclass(frozen=True)
class Pair:
    """The two halves; the second one's input after those of the workload is the first's output."""

    first: Workload
    second: Workload
    product: Product

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Rows and columns of the depthwise convolution."""
        node = self.second.nodes[0]
        _, high, wide, _ = self.second.tensor(node.args[1]).shape
        return axes(node, self.first.output, (high, wide))

    @property
    def span(self) -> int:
        """Rows of the first half's output from the first to the last that an output row reads."""
        rows, _ = self.axes
        return (rows.kernel - 1) * rows.dilation + 1


def pair(workload: Workload) -> Pair | None:
    """The workload's halves; None where it is no such pair."""
    cut = [i for i, node in enumerate(workload.nodes) if node.op == "conv2d"][1:]
    if len(cut) != 1:
        return None
    first = replace(workload, nodes=workload.nodes[: cut[0]])
    second = _behind(workload, cut[0])
    p = product(first)
    if second is None or p is None or first.nodes[0].op != "conv2d" or not is_depthwise(second):
        return None
    reads_first = second.nodes[0].args[0] == len(workload.inputs)
    return Pair(first, second, p) if reads_first else None


def _behind(workload: Workload, cut: int) -> Workload | None:
    """The nodes from ``cut`` on, over the value before them; None where they read another one."""
    n = len(workload.inputs)
    number = {i: i for i in range(n)} | {n + cut - 1: n}
    number |= {n + i: i + n + 1 - cut for i in range(cut, len(workload.nodes))}
    behind = workload.nodes[cut:]
    if any(arg not in number for node in behind for arg in node.args):
        return None
    nodes = tuple(replace(x, args=tuple(number[a] for a in x.args)) for x in behind)
    inputs = (*workload.inputs, workload.nodes[cut - 1].out)
    return Workload(inputs, (*workload.constants, False), nodes)


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 pairs with elementwise nodes after either convolution."""
    halves = pair(workload)
    if halves is None:
        return None
    rows, columns = halves.axes
    widest = ceildiv(halves.product.n, target.lanes(FLOAT32))
    limit = target.vector_registers
    knobs = (
        Knob("vectors", tuple(v for v in (1, 2, 3, 4, 6) if v <= widest), "vectors of channels"),
        Knob("pixels", tuple(range(1, min(columns.size, limit - 2) + 1)), "of a product's tile"),
        Knob("tile_w", tuple(range(1, min(columns.out, 14) + 1)), "neighbouring outputs in a tile"),
        Knob("rows", _rows(rows.out), "output rows in a chunk"),
        Knob("unroll", (1, 2, 4, 8), "steps of the product written out"),
    )

    def valid(config: Config) -> bool:
        vectors = int(config["vectors"])
        return (
            fits_registers(int(config["pixels"]), vectors, target)
            and 2 * int(config["tile_w"]) * vectors <= limit * 3 // 2
            and halves.product.k % int(config["unroll"]) == 0
        )

    return Space(NAME, VERSION, knobs, _default(halves, target), valid)


def loops(workload: Workload, target: Target, knobs: Knobs) -> Loops:
    """The nest of the product of every schedule in a table; the window's work is ``other``."""
    halves = pair(workload)
    assert halves is not None
    p, (down, across) = halves.product, halves.axes
    vectors, pixels, height = knobs["vectors"], knobs["pixels"], knobs["rows"]
    width = vectors * target.lanes(FLOAT32)
    units = workload.output.shape[0] * ceildiv(p.n, width) * ceildiv(down.out, height)
    lines = np.minimum(down.size, (height - 1) * down.stride + halves.span)
    panel, ring = (FLOAT32.nbytes(n * width) for n in (p.k, halves.span * across.size))
    row = FLOAT32.nbytes(across.size * p.k)
    return Loops(
        chunks=units,
        sums=pixels * vectors,
        loads=pixels + vectors,
        depth=p.k,
        steps=units * lines * ceildiv(across.size, pixels) * p.k,
        work=units * lines * across.size * vectors * p.k,
        inner=FLOAT32.nbytes(p.k * pixels) + panel,
        kept=panel + ring,
        streamed=units * lines * (row + panel),
        chunk=lines * row + panel + ring + FLOAT32.nbytes(height * across.out * width),
        other=units * height * across.out * width * down.kernel * across.kernel,
    )


def _rows(out: int) -> tuple[int, ...]:
    """Of bands that are nearly as high as one another."""
    return tuple(sorted({ceildiv(out, bands) for bands in range(1, out + 1)}))


def _default(halves: Pair, target: Target) -> dict[str, int | str]:
    """A ring that fits L1, sums that hide a multiply-add's latency, no more bands than needed."""
    _, columns = halves.axes
    vectors = _vectors(halves, target)
    widest = max(2, min(8, target.vector_registers // (2 * vectors)))
    return {
        "vectors": vectors,
        "pixels": _pixels(halves, target, vectors),
        "tile_w": _even(columns.out, widest),
        "rows": ceildiv(halves.axes[0].out, _bands(halves, target)),
        "unroll": max(u for u in (1, 2) if halves.product.k % u == 0),
    }


def _even(extent: int, widest: int) -> int:
    """The width of as few tiles up to ``widest`` as cover ``extent``, nearly alike."""
    return ceildiv(extent, ceildiv(extent, widest))


def _pixels(halves: Pair, target: Target, vectors: int) -> int:
    limit = (target.vector_registers - 1 - vectors) // vectors
    return _even(halves.axes[1].size, min(14, limit))


def _vectors(halves: Pair, target: Target) -> int:
    """Few vectors: a small ring, short code and many chunks, if the tile has enough sums."""
    needed, size = ceildiv(halves.product.n, target.lanes(FLOAT32)), halves.axes[1].size

    def cost(vectors: int) -> float:
        # Of a core that starts as many loads as multiply-adds a cycle.
        def step(pixels: int) -> int:
            return max(pixels * vectors, pixels + vectors, target.isa.costs.sums) if pixels else 0

        pixels = _pixels(halves, target, vectors)
        steps = size // pixels * step(pixels) + step(size % pixels)
        blocks = ceildiv(needed, vectors)
        ring = halves.span * size * vectors * target.vector_bytes
        crowded = 1.1 if ring > target.l1 else 1.0
        # Threads share the cache lines that narrower blocks write.
        shared = math.pow(1.1, max(0.0, math.log2(LINE / (vectors * target.lanes(FLOAT32)))))
        return blocks * steps * (1 + 0.1 * vectors) * crowded * shared

    return min((v for v in (1, 2, 3) if v <= needed), key=cost)


def _bands(halves: Pair, target: Target) -> int:
    return min(range(1, halves.axes[0].out + 1), key=lambda bands: _work(halves, target, bands))


def _work(halves: Pair, target: Target, bands: int) -> float:
    """How much the busiest thread does, of what each would do of the first convolution's work."""
    rows, _ = halves.axes
    bands = ceildiv(rows.out, ceildiv(rows.out, bands))
    blocks = ceildiv(halves.product.n, _vectors(halves, target) * target.lanes(FLOAT32))
    chunks = halves.first.output.shape[0] * bands * blocks
    again = (bands - 1) * max(0, halves.span - rows.stride) / rows.size
    return (1 + again) * ceildiv(chunks, target.threads) * target.threads / chunks


def pays(workload: Workload, target: Target) -> bool:
    """Whether an analytic model expects it to beat two kernels; False where it does not fit."""
    halves = pair(workload)
    if halves is None:
        return False
    extra = _work(halves, target, _bands(halves, target)) - 1
    return extra * 2 * halves.product.k < target.isa.costs.passed_on
