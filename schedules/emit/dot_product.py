"""One step of a register tile whose sums take several products of narrow numbers at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..ir.dtype import DTYPES, INT32, DType
from ..ir.kernel import Array
from ..target.target import Target
from ..tir.indices import Expr, Index, ceildiv
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .micro_kernel import MicroKernel
from .tile import Parts, RegisterTile, vector_index

LIFT = 128  # what is added to a signed number to have it unsigned
_LATENCY = 4.7  # cycles, see ``DotProduct.cycles``
_SIGNED = DTYPES["int8"]
Registers = Callable[[int, Parts], RegisterTile]  # by rows and parts


@dataclass(frozen=True)
class DotProduct(MicroKernel):
    """``a`` is how an operand that all lanes share lies where it is read, ``b`` the type of packed
    numbers in each lane, as they are multiplied or narrower. ``element`` is the type of the buffer
    that holds the latter, whatever it holds. ``lifted``: the former are ``LIFT`` more than they
    stand for, and a panel begins with what its columns' sums start from. A step multiplies so many
    ``groups``, one after the other.
    """

    element: DType = field(kw_only=True)
    lifted: bool = field(default=False, kw_only=True)
    groups: int = field(default=1, kw_only=True)

    @property
    def around(self) -> float:
        """Cycles between the steps of a register tile and those of the next one."""
        return 0.0

    @property
    def stored(self) -> float:
        """Cycles for a vector of sums after the last step, where the next steps go on meanwhile."""
        return 0.0

    @property
    def kept(self) -> float:
        """Cycles until what follows the steps may begin."""
        return 0.0

    @property
    def ended(self) -> float:
        """Multiply-adds, as long as what a chunk does after its last step."""
        return 0.0

    @property
    def pace(self) -> float:
        """Products in a cycle, beside those of fours."""
        return 1.0

    @property
    def accumulator(self) -> DType:
        """The type of the sums."""
        return self.sums or INT32

    @property
    def starts(self) -> bool:
        """Whether sums may start from any number: the instruction adds modulo 2^32."""
        return self.steps == 4

    @property
    def lift(self) -> int:
        """What numbers that all lanes share are more than they stand for."""
        return LIFT if self.lifted else 0

    def blocks(self, depth: int) -> int:
        """Groups along so many, in whole steps."""
        return ceildiv(depth, self.steps * self.groups) * self.groups

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

    def registers(self, builder: PhaseBuilder, width: int) -> AbstractContextManager[Registers]:
        """What makes register tiles of panels of so many columns, in the phase written inside."""
        return nullcontext(partial(RegisterTile, builder, micro=self))

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

    def fits(self, rows: int, vectors: int, target: Target) -> bool:
        """Whether a register tile fits; numbers are lifted in registers by one in another."""
        return fits_tile(rows, vectors, target, more=self._lifting)

    @property
    def _lifting(self) -> int:
        """Registers in which numbers are lifted."""
        return int(self.lifted and self.a == _SIGNED)

    def spills(self, rows: int, vectors: int, target: Target) -> bool:
        """Whether LLVM spills a tile that fits: of more than two vectors, where fours are
        multiplied, it loads one for the next step."""
        more = self._lifting + 1
        return self.steps == 4 and vectors > 2 and not fits_tile(rows, vectors, target, more)

    def most_rows(self, vectors: int, target: Target) -> int:
        """Of a register tile of so many vectors that is not spilled; at least one."""
        rows = 1
        while self.fits(rows + 1, vectors, target) and not self.spills(rows + 1, vectors, target):
            rows += 1
        return rows

    def cycles(self, rows: int, vectors: int, target: Target) -> float:
        """Of a step. Pairs, as measured on Zen 4: in a cycle it starts 3.2 operations on vectors,
        of the four that it might, and 4.7 instructions of six; fours on Zen 5, where a sum is ready
        for the next step after 4.7 cycles. Loads wait now and then."""
        products, loads = rows * vectors, rows + vectors
        if self.steps == 4:
            lifted = rows * self._lifting  # in registers
            vector = (products + lifted) / target.costs.operations
            started = products / target.costs.multiply_adds
            return max(started, vector, _LATENCY, loads / 2) + loads / 50
        widened = vectors * (self.b.bits == 8)
        vector = 2 * products + widened
        return max(products / 2, vector / 3.2, loads / 2, (vector + loads + 3) / 4.7) + loads / 50

    def shared(self, value: Expr) -> Expr:
        """A number, or a vector of them, as it lies where all lanes read it."""
        if self.lifted:
            sign = tirx.const(-LIFT, "int8")
            return tirx.Cast(self.a.name, tirx.bitwise_xor(value, sign))
        return tirx.Cast(self.a.name, value)


def fits_tile(rows: int, vectors: int, target: Target, more: int = 0) -> bool:
    """Whether sums, a vector per part, a broadcast, a product and ``more`` fit without spilling."""
    return rows * vectors + vectors + 2 + more <= target.vector_registers
