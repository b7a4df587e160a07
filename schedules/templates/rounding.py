"""Where operands of float32 may be rounded to bfloat16, and what kernels of such have in common."""

from __future__ import annotations

from dataclasses import replace

from ..emit.bfloat16 import BITS, bfloat16_layouts
from ..emit.dot_product import DotProduct
from ..emit.dot_products import Layout
from ..ir.dtype import DTYPES, FLOAT32, DType
from ..ir.workload import Node, Tensor, Workload
from ..ops.products import OF_BFLOAT16
from ..target.target import Target
from ..tir.indices import ceildiv

# Cycles: to fetch a byte from beyond L2; to round an element into scratch; to begin and end a
# tile, and to store a vector of it; to claim and begin a chunk.
FETCHED = 1 / 16
ROUNDED = 0.1
_AROUND, _STORED = 30.0, 2.0
_CHUNK = 250.0
_FROM_L2, _HIDING = 32.0, 6  # bytes in a cycle on Zen 4, and how well they hide behind products
BFLOAT16 = DTYPES["bfloat16"]
ROUNDS = frozenset(
    f"{of}_bfloat16"
    for of in ("attention", "conv", "conv_transpose", "gemm", "patches", "separable")
)
"""The templates that round what their first node reads."""


def may_round(workload: Workload, target: Target) -> bool:
    """Whether the build's ``accuracy`` allows it, or those of the first node hold such numbers."""
    return target.accuracy == "bf16" or bool(workload.nodes[0].attr(OF_BFLOAT16, False))


def in_float32(workload: Workload) -> Workload:
    """The same where what the first node reads, and the output, lie in memory as float32 and not as
    bfloat16, which other templates know nothing of."""
    first, last = workload.nodes[0], workload.nodes[-1]
    inputs = tuple(
        Tensor(tensor.shape) if i in first.args and tensor.element == BFLOAT16 else tensor
        for i, tensor in enumerate(workload.inputs)
    )
    nodes = workload.nodes
    if last.op == "cast" and last.out.element == BFLOAT16:
        nodes = (*nodes[:-1], Node("cast", last.args, Tensor(last.out.shape)))
    return replace(workload, inputs=inputs, nodes=nodes)


def held(tensor: Tensor) -> DType:
    """What memory holds of an operand: floats, or the bits of those that are rounded already."""
    return BITS if tensor.element == BFLOAT16 else FLOAT32


def tile_cycles(micro: DotProduct, depth: int, rows: int, vectors: int, target: Target) -> float:
    """Of a register tile and so many steps. These and the way of a panel that L1 does not hold go
    on at once, but hide each other less the more alike they are."""
    vector = micro.b.nbytes(micro.steps * micro.groups * target.lanes(FLOAT32))
    near, far = micro.cycles(rows, vectors, target), vectors * vector / _FROM_L2
    if depth * vectors * vector >= target.l1:
        near = (near**_HIDING + far**_HIDING) ** (1 / _HIDING)
    steps = depth * near
    return steps + micro.around + _AROUND + rows * vectors * _STORED


def chunks_cycles(chunks: int, each: float, target: Target) -> float:
    """Until the last of so many chunks has ended, of which one takes ``each`` cycles."""
    rounds: float = ceildiv(chunks, target.threads) + (target.threads > 1) / 2
    return rounds * (each + _CHUNK)


class Rounding:
    """A form of whole numbers whose operands are floats that are rounded, or were before."""

    workload: Workload
    target: Target

    @property
    def types(self) -> tuple[DType, DType]:
        """Of both operands as they lie in memory."""
        a, b = (held(self.workload.tensor(x)) for x in self.workload.nodes[0].args[:2])
        return a, b

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
