"""Instructions that add up several products of narrow whole numbers in each lane.

Neighbours along the depth lie side by side in both operands: one group of them is what all lanes
share, and each lane has a group of its own. Results are exact, and the same on every processor:
``pmaddwd`` multiplies numbers of 16 bits and never saturates, as ``pmaddubsw`` does, and where
there is AVX-VNNI or AVX512-VNNI, ``vpdpbusd`` takes four unsigned by four signed numbers of 8 bits,
and ``vpdpwssd`` adds what ``pmaddwd`` multiplies (Intel's SDM, volume 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from ..ir.dtype import DTYPES, INT32, DType, Kind
from ..ir.kernel import Array
from ..target.target import Target
from ..tir.conversion import dtype_of
from ..tir.indices import Expr, Index, ceildiv
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .micro_kernel import MicroKernel
from .tile import Parts, RegisterTile, vector_index

INT8, UINT8, INT16 = DTYPES["int8"], DTYPES["uint8"], DTYPES["int16"]
_LATENCY = 4.7  # cycles, see ``cycles``
_VNNI = ("avx512_vnni", "avx_vnni")  # either has instructions for all vectors of its level
_LIFT = 128  # what is added to a signed number to have it unsigned
_SIGNS = int(np.int32(np.uint32(0x80808080)))  # the bits that do so to four
Registers = Callable[[int, Parts], RegisterTile]  # by rows and parts

PAIRS: Mapping[int, str] = {  # by lanes of sums
    4: "llvm.x86.sse2.pmadd.wd",
    8: "llvm.x86.avx2.pmadd.wd",
    16: "llvm.x86.avx512.pmaddw.d.512",
}
_FOURS: Mapping[int, str] = {
    4: "llvm.x86.avx512.vpdpbusd.128",
    8: "llvm.x86.avx512.vpdpbusd.256",
    16: "llvm.x86.avx512.vpdpbusd.512",
}
_FUSED_PAIRS: Mapping[int, str] = {
    4: "llvm.x86.avx512.vpdpwssd.128",
    8: "llvm.x86.avx512.vpdpwssd.256",
    16: "llvm.x86.avx512.vpdpwssd.512",
}


@dataclass(frozen=True)
class DotProduct(MicroKernel):
    """``a`` is how an operand that all lanes share lies where it is read, ``b`` the type of packed
    numbers in each lane, as they are multiplied or narrower. ``element`` is the type of the buffer
    that holds the latter, whatever it holds. ``lifted``: the former are ``_LIFT`` more than they
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
        return _LIFT if self.lifted else 0

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
        sums = -_LIFT * padded.reshape(*outer, blocks * self.steps, panels, width).sum(
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
        less = tirx.const(-_LIFT, "int64")
        product = tirx.Cast(wide, sums) * (less if lanes == 1 else tirx.Broadcast(less, lanes))
        narrow = tirx.Cast("int32" if lanes == 1 else f"int32x{lanes}", product)
        units = lanes * INT32.bytes // self.element.bytes
        return tirx.call_intrin(f"{self.element.name}x{units}", "tirx.reinterpret", narrow)

    def fits(self, rows: int, vectors: int, target: Target) -> bool:
        """Whether a register tile fits; numbers are lifted in registers by one in another."""
        return fits_tile(rows, vectors, target, more=self.lifted and self.a == INT8)

    def most_rows(self, vectors: int, target: Target) -> int:
        """Of a register tile of so many vectors; at least one."""
        rows = 1
        while self.fits(rows + 1, vectors, target):
            rows += 1
        return rows

    def cycles(self, rows: int, vectors: int, target: Target) -> float:
        """Of a step. Pairs, as measured on Zen 4: in a cycle it starts 3.2 operations on vectors,
        of the four that it might, and 4.7 instructions of six; fours on Zen 5, where a sum is ready
        for the next step after 4.7 cycles. Loads wait now and then."""
        products, loads = rows * vectors, rows + vectors
        if self.steps == 4:
            return max(products / 2, _LATENCY, loads / 2) + loads / 50
        widened = vectors * (self.b.bits == 8)
        vector = 2 * products + widened
        return max(products / 2, vector / 3.2, loads / 2, (vector + loads + 3) / 4.7) + loads / 50

    def shared(self, value: Expr) -> Expr:
        """A number, or a vector of them, as it lies where all lanes read it."""
        if self.lifted:
            sign = tirx.const(-_LIFT, "int8")
            return tirx.Cast(self.a.name, tirx.bitwise_xor(value, sign))
        return tirx.Cast(self.a.name, value)


def pairs(element: DType, lanes: int, b: DType = INT16) -> DotProduct:
    """Two steps of numbers that 16 bits hold; packed ones may be of 8, and are widened in
    registers."""

    def emit(total: Expr, a: Expr, group: Expr) -> Expr:
        wide = f"int16x{2 * lanes}"
        shared = a if dtype_of(a) == wide else tirx.call_intrin(wide, "tirx.reinterpret", a)
        own = group if dtype_of(group) == wide else tirx.Cast(wide, group)
        return total + tirx.call_llvm_pure_intrin(f"int32x{lanes}", PAIRS[lanes], shared, own)

    return DotProduct(INT16, b, 2, emit, element=element)


def wrapping_pairs(element: DType, lanes: int) -> DotProduct:
    """Of numbers in 16 bits, whose sums are right modulo 2^32 where they overflow."""

    def emit(total: Expr, a: Expr, group: Expr) -> Expr:
        shared = tirx.call_intrin(f"int16x{2 * lanes}", "tirx.reinterpret", a)
        product = tirx.call_llvm_pure_intrin(f"int32x{lanes}", PAIRS[lanes], shared, group)
        return wrapping_sum(total, product, lanes)

    return DotProduct(INT16, INT16, 2, emit, element=element)


def wrapping_sum(a: Expr, b: Expr, lanes: int) -> Expr:
    """Of vectors of 32 bits, modulo 2^32: in twice the bits, which LLVM narrows again, since of 32
    it believes that none overflows."""
    wide, more = (tirx.Cast(f"int64x{lanes}", x) for x in (a, b))
    return tirx.Cast(f"int32x{lanes}", wide + more)


def fours(a: DType, lanes: int) -> DotProduct:
    """Four steps of numbers of 8 bits by signed ones."""

    def emit(total: Expr, shared: Expr, group: Expr) -> Expr:
        return add_four_products(total, shared, group, lanes)

    return DotProduct(UINT8, INT8, 4, emit, element=INT8, lifted=a.kind is Kind.INT)


def lifting(micro: DotProduct, lanes: int) -> DotProduct:
    """A ``lifted`` one that reads signed numbers as they are, and lifts them in registers.

    A group is lifted before all lanes get it: LLVM 22 never ends where it compiles the other order
    for processors with AVX512-VBMI.
    """

    def emit(total: Expr, shared: Expr, group: Expr) -> Expr:
        alone = shared.value if isinstance(shared, tirx.Broadcast) else shared
        found = tirx.bitwise_xor(alone, tirx.const(_SIGNS, "int32"))
        every = found if lanes == 1 else tirx.Broadcast(found, lanes)
        return micro.emit(total, every, group)

    return replace(micro, a=INT8, emit=emit)


def add_four_products(total: Expr, shared: Expr, group: Expr, lanes: int) -> Expr:
    """To each lane's sum, those of four unsigned numbers, as one of 32 bits, and a group."""
    own = tirx.call_intrin(f"int8x{4 * lanes}", "tirx.reinterpret", shared)
    return tirx.call_llvm_pure_intrin(f"int32x{lanes}", _FOURS[lanes], total, own, group)


def fused_pairs(element: DType, lanes: int) -> DotProduct:
    """Of numbers in 16 bits, added by the instruction that multiplies them, modulo 2^32."""

    def emit(total: Expr, a: Expr, group: Expr) -> Expr:
        wide = f"int16x{2 * lanes}"
        shared = a if dtype_of(a) == wide else tirx.call_intrin(wide, "tirx.reinterpret", a)
        return add_two_products(total, shared, group, lanes)

    return DotProduct(INT16, INT16, 2, emit, element=element)


def add_two_products(total: Expr, shared: Expr, group: Expr, lanes: int) -> Expr:
    """To each lane's sum, those of two signed numbers of 16 bits and a group."""
    name = _FUSED_PAIRS[lanes]
    return tirx.call_llvm_pure_intrin(f"int32x{lanes}", name, total, shared, group)


Sums = Literal["apart", "fused"]
"""How products of pairs are added to sums: by an instruction of its own, or the same one."""


def sums(target: Target) -> tuple[Sums, ...]:
    """The one that is faster."""
    return ("fused",) if has_sums_of_products(target) else ("apart",)


def has_sums_of_products(target: Target) -> bool:
    """Whether an instruction multiplies and adds."""
    return any(feature in target.features for feature in _VNNI)


Layout = Literal["tiles", "fours", "bytes", "words", "widened"]
"""How packed numbers lie: as whole tiles; in fours of 8 bits; or in pairs, of 8 bits that are
widened at each use, of 16, or of 8 that are widened once, panel by panel."""


def instruction(a: DType, b: DType, target: Target, layout: Layout) -> DotProduct:
    """For operands of these types, the second one lying so where it is multiplied."""
    lanes = target.lanes(INT32)
    if layout == "fours":
        return fours(a, lanes)
    if layout == "widened":
        return pairs(INT16, lanes)
    return pairs(b, lanes, b if layout == "bytes" else INT16)


def packing(a: DType, b: DType, target: Target, layout: Layout) -> DotProduct:
    """The same where it is packed."""
    return instruction(a, b, target, "bytes" if layout == "widened" else layout)


def multiplies(a: DType, b: DType) -> bool:
    """Whether there are instructions for operands of these types: 16 bits hold all numbers."""
    return all(x.is_whole and (x.bits == 8 or x == INT16) for x in (a, b))


def layouts(a: DType, b: DType, target: Target) -> tuple[Layout, ...]:
    """Those of a constant operand of type ``b``."""
    if b.bits != 8:
        return ("words",)
    fours = has_sums_of_products(target) and a.bits == 8 and b == INT8
    return ("fours",) if fours else ("bytes", "words", "widened")


def fits_tile(rows: int, vectors: int, target: Target, more: int = 0) -> bool:
    """Whether sums, a vector per part, a broadcast, a product and ``more`` fit without spilling."""
    return rows * vectors + vectors + 2 + more <= target.vector_registers
