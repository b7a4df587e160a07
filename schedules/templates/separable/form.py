"""Which workloads are a 1x1 convolution followed by a depthwise one, and their kernels' knobs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...emit.steps import written_out
from ...emit.tile import LINE, fits_registers
from ...ir.dtype import FLOAT32
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import WEIGHED, around
from ..channelwise.form import Channelwise
from ..form import Form
from ..gemm.form import Gemm, Product
from ..loops import Loops
from ..shares import taken_back
from ..window import Axis


class Knobs(NamedTuple):
    """See ``Separable.choices``."""

    vectors: int
    pixels: int
    tile_w: int
    rows: int
    unroll: int


@dataclass(frozen=True)
class Separable(Form[Knobs]):
    """A float32 pair; the input of ``second`` after the workload's is the output of ``first``."""

    first: Gemm
    second: Channelwise

    name = "separable"
    version = 1
    knobs_type = Knobs
    anchors = around(conv2d=WEIGHED)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Separable | None:
        """Float32 pairs with elementwise nodes after either convolution."""
        convolutions = [i for i, node in enumerate(workload.nodes) if node.op == "conv2d"]
        if len(convolutions) != 2 or convolutions[0] != 0:
            return None
        cut = convolutions[1]
        rest = _after(workload, cut)
        first = Gemm.match(replace(workload, nodes=workload.nodes[:cut]), target)
        second = None if rest is None else Channelwise.match(rest, target)
        if first is None or second is None or second.node.args[0] != len(workload.inputs):
            return None
        if second.repeats > 1 or second.group > 1:
            return None
        return cls(workload, target, first, second)

    @property
    def product(self) -> Product:
        """The first half; its columns are the channels of the second."""
        return self.first.product

    @property
    def rows(self) -> Axis:
        """Of the second half's window."""
        return self.second.rows

    @property
    def columns(self) -> Axis:
        """Of the second half's window."""
        return self.second.columns

    @property
    def span(self) -> int:
        """Rows of the first half's output from the first to the last that an output row reads."""
        return (self.rows.kernel - 1) * self.rows.dilation + 1

    @property
    def needed(self) -> int:
        """Vectors that cover the channels."""
        return ceildiv(self.product.n, self.second.lanes)

    def choices(self) -> tuple[Knob, ...]:
        """Both register tiles, the channels and rows of a chunk."""
        vectors = tuple(v for v in (1, 2, 3, 4, 6) if v <= self.needed)
        pixels = tuple(range(1, min(self.columns.size, self.target.vector_registers - 2) + 1))
        widths = tuple(range(1, min(self.columns.out, 14) + 1))
        # Bands that are nearly as high as one another.
        heights = {ceildiv(self.rows.out, bands) for bands in range(1, self.rows.out + 1)}
        return (
            Knob("vectors", vectors, "vectors of channels"),
            Knob("pixels", pixels, "of a product's tile"),
            Knob("tile_w", widths, "neighbouring outputs in a tile"),
            Knob("rows", tuple(sorted(heights)), "output rows in a chunk"),
            Knob("unroll", (1, 2, 4, 8), "steps of the product written out"),
        )

    def fits(self, knobs: Knobs) -> bool:
        """Either tile fits the registers."""
        limit = self.target.vector_registers
        return (
            fits_registers(knobs.pixels, knobs.vectors, self.target)
            and 2 * knobs.tile_w * knobs.vectors <= limit * 3 // 2
            and self.product.k % knobs.unroll == 0
        )

    def default(self) -> Knobs:
        """A ring that fits L1, sums that hide a multiply-add's latency, few bands."""
        vectors = self._vectors
        widest = max(2, min(8, self.target.vector_registers // (2 * vectors)))
        pixels = self._pixels(vectors)
        return Knobs(
            vectors=vectors,
            pixels=pixels,
            tile_w=even(self.columns.out, widest),
            rows=ceildiv(self.rows.out, self._bands),
            unroll=written_out(pixels * vectors, self.product.k, self.target),
        )

    def _pixels(self, vectors: int) -> int:
        limit = (self.target.vector_registers - 1 - vectors) // vectors
        return even(self.columns.size, min(14, limit))

    @cached_property
    def _vectors(self) -> int:
        """Few vectors: a small ring, short code and many chunks, if the tile has enough sums."""
        size, target = self.columns.size, self.target
        costs = target.costs

        def cost(vectors: int) -> float:
            def step(pixels: int) -> float:
                loads = costs.loaded * (pixels + vectors)
                return max(pixels * vectors, loads, costs.sums) if pixels else 0

            pixels = self._pixels(vectors)
            steps = size // pixels * step(pixels) + step(size % pixels)
            blocks = ceildiv(self.needed, vectors)
            ring = self.span * size * vectors * target.vector_bytes
            crowded = 1.1 if ring > target.l1 else 1.0
            # Threads share the cache lines that narrower blocks write.
            shared = math.pow(1.1, max(0.0, math.log2(LINE / (vectors * self.second.lanes))))
            return blocks * steps * (1 + 0.1 * vectors) * crowded * shared

        return min((v for v in (1, 2, 3) if v <= self.needed), key=cost)

    @cached_property
    def _bands(self) -> int:
        """Bands of rows with which the busiest thread does least, and those before and after wait
        least for lines that another core read."""
        return min(range(1, self.rows.out + 1), key=lambda n: self._work(n) + self._waits(n))

    def _waits(self, bands: int) -> float:
        """What it costs that threads share channels rather than rows, in units of ``_work``."""
        p, threads = self.product, self.target.threads
        if self.second.batch * bands >= threads:
            return 0.0
        first, last = (self.workload.tensor(p.a), self.workload.output)
        work = p.m * p.n * p.k / (self.second.lanes * self.target.costs.multiply_adds * threads)
        return taken_back(first.nbytes + last.nbytes, self.target) / work

    def _work(self, bands: int) -> float:
        """How much the busiest thread does, of what each would do of the first half's work."""
        rows = self.rows
        bands = ceildiv(rows.out, ceildiv(rows.out, bands))
        chunks = (
            self.second.batch * bands * ceildiv(self.product.n, self._vectors * self.second.lanes)
        )
        again = (bands - 1) * max(0, self.span - rows.stride) / rows.size
        threads = self.target.threads
        return (1 + again) * ceildiv(chunks, threads) * threads / chunks

    @property
    def saves(self) -> float:
        """Operations that one kernel saves over two, for each element between the halves.

        What need not be passed on, less what is computed twice or while other threads wait, and
        less the product's rows, which each block of channels reads from L2.
        """
        costs, k = self.target.costs, self.product.k
        extra = self._work(self._bands) - 1
        read = FLOAT32.nbytes(k) / (self._vectors * self.second.lanes)
        return costs.passed_on - extra * 2 * k - costs.read_again * read

    def loops(self, knobs: Knobs) -> Loops:
        """A step is one of the product; the window's work is ``other``."""
        p, down, across = self.product, self.rows, self.columns
        vectors, pixels, height = knobs.vectors, knobs.pixels, knobs.rows
        width = vectors * self.second.lanes
        units = self.second.batch * ceildiv(p.n, width) * ceildiv(down.out, height)
        lines = np.minimum(down.size, (height - 1) * down.stride + self.span)
        panel, ring = (FLOAT32.nbytes(n * width) for n in (p.k, self.span * across.size))
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
            other=units * height * across.out * width * self.second.taps,
        )


def _after(workload: Workload, cut: int) -> Workload | None:
    """The nodes from ``cut`` on, over the value before them, which the first of them alone reads;
    None where they read another one."""
    *_, last = before = workload.region.statements[:cut]
    inputs = {**dict(enumerate(workload.signature)), last.result: (last.node.out, False)}
    convolution, *rest = after = workload.region.statements[cut:]
    inner = {op.result for op in before}
    if not inner.isdisjoint((*convolution.reads[1:], *(v for op in rest for v in op.reads))):
        return None
    return Workload.of(inputs, after)


def even(extent: int, widest: int) -> int:
    """The width of as few tiles up to ``widest`` as cover ``extent``, nearly alike."""
    return ceildiv(extent, ceildiv(extent, widest))
