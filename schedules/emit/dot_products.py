"""Instructions that add up several products of narrow whole numbers in each lane.

Neighbours along the depth lie side by side in both operands: one group of them is what all lanes
share, and each lane has a group of its own. Results are exact, and the same on every processor:
``pmaddwd`` multiplies numbers of 16 bits and never saturates, as ``pmaddubsw`` does, and where
there is AVX-VNNI or AVX512-VNNI, ``vpdpbusd`` takes four unsigned by four signed numbers of 8 bits,
and ``vpdpwssd`` adds what ``pmaddwd`` multiplies (Intel's SDM, volume 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from ..ir.dtype import DTYPES, INT32, DType, Kind
from ..target.target import Target
from ..tir.elements import dtype_of
from ..tir.indices import Expr
from ..tvm_late import tirx
from .dot_product import DotProduct

INT8, UINT8, INT16 = DTYPES["int8"], DTYPES["uint8"], DTYPES["int16"]
_VNNI = ("avx512_vnni", "avx_vnni")  # either has instructions for all vectors of its level
_SIGNS = int(np.int32(np.uint32(0x80808080)))  # the bits that do so to four

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


Layout = Literal["tiles", "fours", "bytes", "words", "widened", "crossed"]
"""How packed numbers lie: as whole tiles; in fours of 8 bits; or in pairs, of 8 bits that are
widened at each use, of 16, or of 8 that are widened once, panel by panel, for pairs that are
crossed (see ``crossed_pairs``), too."""


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
