"""Micro-kernels: the instruction that a register tile is made of, and what it multiplies.

Where a sum is wider than what it adds up, an instruction takes several steps of K at once, which
then lie side by side in memory: VNNI four of int8, AVX512-BF16 two of bfloat16 (see
``dot_products`` and ``bfloat16``). Those that are here take one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..ir.dtype import FLOAT32, DType
from ..ir.kernel import Array
from ..tir.elements import dtype_of
from ..tir.indices import Expr, ceildiv
from ..tvm_late import tirx


@dataclass(frozen=True)
class MicroKernel:
    """One step of a register tile: to each lane's sum it adds ``steps`` products along K.

    ``a`` is the type of the operand that all lanes share, ``b`` that of the vector's elements.
    ``emit`` writes it for a sum and operands that are scalars or vectors alike. ``sums`` is the
    type of the sums where it is not the usual one.
    """

    a: DType
    b: DType
    steps: int
    emit: Callable[[Expr, Expr, Expr], Expr]
    sums: DType | None = None

    @property
    def accumulator(self) -> DType:
        """The type of the sums."""
        return self.sums or self.a.accumulator

    def packed_shape(self, k: int, n: int, width: int) -> tuple[int, int, int]:
        """The shape that ``pack`` makes of K rows of N."""
        return ceildiv(n, width), ceildiv(k, self.steps), width * self.steps

    def pack(self, matrix: Array, width: int) -> Array:
        """B, [K][N], as [panel][steps of K][width][step]; zeros after the last row and column."""
        k, n = matrix.shape
        panels, blocks, _ = shape = self.packed_shape(k, n, width)
        padded = np.zeros((blocks * self.steps, panels * width), matrix.dtype)
        padded[:k, :n] = matrix
        split = padded.reshape(blocks, self.steps, panels, width)
        return np.ascontiguousarray(split.transpose(2, 0, 3, 1)).reshape(shape)


FLOAT32_MULTIPLY_ADD = MicroKernel(FLOAT32, FLOAT32, 1, lambda total, a, b: total + a * b)


def whole_multiply_add(a: DType, b: DType) -> MicroKernel:
    """Of whole numbers, exact as long as their sum fits its type."""
    return MicroKernel(a, b, 1, _widened_multiply_add)


def _widened_multiply_add(total: Expr, a: Expr, b: Expr) -> Expr:
    """What is read is narrow, and widened in registers."""
    wide = dtype_of(total)
    return total + tirx.Cast(wide, a) * tirx.Cast(wide, b)
