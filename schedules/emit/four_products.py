"""Four products at once of unsigned bytes by signed ones, of which few bits are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..target.target import Target
from ..tir.indices import Expr
from ..tvm_late import tirx
from . import dot_products

_NARROW_PAIRS: Mapping[int, str] = {  # of unsigned by signed numbers of 8 bits; sums saturate
    4: "llvm.x86.ssse3.pmadd.ub.sw.128",
    8: "llvm.x86.avx2.pmadd.ub.sw",
    16: "llvm.x86.avx512.pmaddubs.w.512",
}


def four_products(lanes: int, bits: int, target: Target) -> Callable[[Expr, Expr, Expr], Expr]:
    """What adds to each lane's sum four products of unsigned numbers of so many bits and of signed
    ones that are no less than -127: of bytes that lie in lanes of 32 bits."""

    def of_bytes(total: Expr, unsigned: Expr, signed: Expr) -> Expr:
        own = tirx.reinterpret(f"int8x{4 * lanes}", signed)
        return dot_products.add_four_products(total, unsigned, own, lanes)

    def by_pairs(total: Expr, unsigned: Expr, signed: Expr) -> Expr:
        both = (tirx.reinterpret(f"int8x{4 * lanes}", each) for each in (unsigned, signed))
        found = tirx.call_llvm_pure_intrin(f"int16x{2 * lanes}", _NARROW_PAIRS[lanes], *both)
        ones = tirx.Broadcast(tirx.const(1, "int16"), 2 * lanes)
        return total + _pairs_added(found, ones, lanes)

    def by_words(total: Expr, unsigned: Expr, signed: Expr) -> Expr:
        """The even bytes, and the odd ones."""
        mask, up = _all(0x00FF00FF, lanes), tirx.Broadcast(tirx.const(8, "int16"), 2 * lanes)
        moved = tirx.shift_right(unsigned, _all(8, lanes))
        wide = tirx.reinterpret(f"int16x{2 * lanes}", signed)
        for own, shared in (
            (unsigned, tirx.shift_right(tirx.shift_left(wide, up), up)),
            (moved, tirx.shift_right(wide, up)),
        ):
            words = tirx.reinterpret(f"int16x{2 * lanes}", tirx.bitwise_and(own, mask))
            total = total + _pairs_added(words, shared, lanes)
        return total

    if dot_products.has_sums_of_products(target):
        return of_bytes
    return by_pairs if bits < 8 else by_words  # 2 * 127 * 127 is below 2^15


def _pairs_added(a: Expr, b: Expr, lanes: int) -> Expr:
    return tirx.call_llvm_pure_intrin(f"int32x{lanes}", dot_products.PAIRS[lanes], a, b)


def _all(number: int, lanes: int) -> Expr:
    return tirx.Broadcast(tirx.const(number, "int32"), lanes)
