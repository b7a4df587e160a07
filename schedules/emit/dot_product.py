"""One step of a register tile whose sums take several products of narrow numbers at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..ir.dtype import INT32, DType
from ..ir.kernel import Array
from ..tir.indices import Expr, Index, ceildiv
from ..tvm_late import tirx
from .micro_kernel import MicroKernel
from .tile import RegisterTile, vector_index

LIFT = 128  # what is added to a signed number to have it unsigned


@dataclass(frozen=True)
class DotProduct(MicroKernel):
    """``a`` is how an operand that all lanes share lies where it is read, ``b`` the type of packed
    numbers in each lane, as they are multiplied or narrower. ``element`` is the type of the buffer
    that holds the latter, whatever it holds. ``lifted``: the former are ``LIFT`` more than they
    stand for, and a panel begins with what its columns' sums start from.
    """

    element: DType = field(kw_only=True)
    lifted: bool = field(default=False, kw_only=True)

    @property
    def accumulator(self) -> DType:
        """The type of the sums."""
        return INT32

    @property
    def starts(self) -> bool:
        """Whether sums may start from any number: the instruction adds modulo 2^32."""
        return self.steps == 4

    @property
    def lift(self) -> int:
        """What numbers that all lanes share are more than they stand for."""
        return LIFT if self.lifted else 0

    def blocks(self, depth: int) -> int:
        """Groups along so many."""
        return ceildiv(depth, self.steps)

    def units(self, groups: int) -> int:
        """Elements of the packed buffer that so many groups take."""
        return groups * self.steps * self.b.bytes // self.element.bytes

    def header(self, width: int) -> int:
        """Elements of the packed buffer before the groups of a panel of so many columns."""
        return width * INT32.bytes // self.element.bytes if self.lifted else 0

    def panel(self, blocks: int, width: int) -> int:
        """Elements of the packed buffer that a panel takes."""
        return self.header(width) + self.units(blocks * width)

    def packed(self, matrix: Array, width: int) -> Array:
        """[..., K, N] as [..., panel, the panel's elements]: sums to start from where ``lifted``,
        then [groups along K][width][step]. Zeros after the last row and column.
        """
        *outer, k, n = matrix.shape
        blocks, panels = self.blocks(k), ceildiv(n, width)
        padded = np.zeros((*outer, blocks * self.steps, panels * width), self.b.numpy)
        padded[..., :k, :n] = matrix
        split = padded.reshape(*outer, blocks, self.steps, panels, width)
        split = np.moveaxis(split, -2, -4)  # [panel][group][step][width]
        ordered = np.ascontiguousarray(np.swapaxes(split, -1, -2))
        found = ordered.reshape(*outer, panels, -1).view(self.element.numpy)
        if not self.lifted:
            return found
        sums = -LIFT * padded.reshape(*outer, blocks * self.steps, panels, width).sum(
            axis=-3, dtype=np.int32
        )
        first = np.ascontiguousarray(sums, np.int32).view(self.element.numpy)
        return np.concatenate([first, found], axis=-1)

    def group(self, builder: Any, buffer: Any, first: Index) -> Expr:
        """A group of what all lanes share, as one number of 32 bits."""
        read = builder.load(buffer, vector_index(first, self.steps))
        return tirx.call_intrin("int32", "tirx.reinterpret", read)

    def vector(self, builder: Any, buffer: Any, first: Index, lanes: int) -> Expr:
        """The groups of ``lanes`` columns, as they are packed."""
        read = builder.load(buffer, vector_index(first, self.units(lanes)))
        if self.b == self.element:
            return read
        return tirx.call_intrin(f"{self.b.name}x{lanes * self.steps}", "tirx.reinterpret", read)

    def step(
        self,
        register: RegisterTile,
        shared: tuple[Any, Index, Index],
        own: tuple[Any, Index],
    ) -> None:
        """One step of a tile: groups that lie in a buffer from a place on, so far apart from row to
        row, by those of all columns, which lie side by side."""
        builder, (source, first, apart), (packed, begin) = register.builder, shared, own
        register.step(
            lambda row: self.group(builder, source, first + row * apart),
            lambda column, lanes: self.vector(builder, packed, begin + self.units(column), lanes),
        )

    def start(self, builder: Any, buffer: Any, first: Index, lanes: int) -> Expr:
        """What the sums of ``lanes`` columns begin with, where ``lifted``."""
        read = builder.load(buffer, vector_index(first, lanes * INT32.bytes // self.element.bytes))
        return tirx.call_intrin(f"int32x{lanes}", "tirx.reinterpret", read)

    def lowered(self, sums: Expr, lanes: int) -> Expr:
        """What sums of columns with these totals begin with, where ``lifted``, as it is packed."""
        wide = "int64" if lanes == 1 else f"int64x{lanes}"
        less = tirx.const(-LIFT, "int64")
        product = tirx.Cast(wide, sums) * (less if lanes == 1 else tirx.Broadcast(less, lanes))
        narrow = tirx.Cast("int32" if lanes == 1 else f"int32x{lanes}", product)
        units = lanes * INT32.bytes // self.element.bytes
        return tirx.call_intrin(f"{self.element.name}x{units}", "tirx.reinterpret", narrow)

    def shared(self, value: Expr) -> Expr:
        """A number, or a vector of them, as it lies where all lanes read it."""
        if self.lifted:
            sign = tirx.const(-LIFT, "int8")
            return tirx.Cast(self.a.name, tirx.bitwise_xor(value, sign))
        return tirx.Cast(self.a.name, value)
