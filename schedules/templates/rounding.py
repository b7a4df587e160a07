"""Where operands of float32 may be rounded to bfloat16, and what kernels of such have in common."""

from __future__ import annotations

from ..emit.bfloat16 import bfloat16_layouts
from ..emit.dot_product import DotProduct
from ..emit.dot_products import Layout
from ..ir.dtype import FLOAT32, DType
from ..ir.workload import Workload
from ..ops.products import OF_BFLOAT16
from ..target.target import Target
from ..tir.indices import ceildiv

# Cycles: to fetch a byte from beyond L2; to round an element into scratch; to begin and end a
# tile, and to store a vector of it; to claim and begin a chunk.
FETCHED = 1 / 16
ROUNDED = 0.1
_AROUND, _STORED = 30.0, 2.0
_CHUNK = 250.0


def may_round(workload: Workload, target: Target) -> bool:
    """Whether the build's ``accuracy`` allows it, or those of the first node hold such numbers."""
    return target.accuracy == "bf16" or bool(workload.nodes[0].attr(OF_BFLOAT16, False))


def tile_cycles(micro: DotProduct, depth: int, rows: int, vectors: int, target: Target) -> float:
    """Of a register tile and so many steps."""
    steps = depth * micro.cycles(rows, vectors, target)
    return steps + micro.around + _AROUND + rows * vectors * _STORED


def chunks_cycles(chunks: int, each: float, target: Target) -> float:
    """Until the last of so many chunks has ended, of which one takes ``each`` cycles."""
    rounds: float = ceildiv(chunks, target.threads) + (target.threads > 1) / 2
    return rounds * (each + _CHUNK)


class Rounding:
    """A form of whole numbers whose operands are floats that are rounded."""

    target: Target

    @property
    def types(self) -> tuple[DType, DType]:
        """Of both operands before they are rounded."""
        return FLOAT32, FLOAT32

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """How packed numbers may lie."""
        return bfloat16_layouts(self.target)

    def micro(self, layout: Layout) -> DotProduct:
        """What multiplies."""
        raise NotImplementedError

    def packing(self, layout: Layout) -> DotProduct:
        """The same."""
        return self.micro(layout)
