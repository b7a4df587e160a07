"""Conversions between element types, with one meaning for every number.

The standard, C and LLVM leave open what a float becomes that an integer type does not hold, and
LLVM makes other code of it in a vector than at its end. Here it is what x86 processors give: NaN
and what is beyond int32 or int64 is the lowest number of that type; narrower types take the low
bits of int32, and uint32 those of int64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ir.dtype import DTYPES
from ..tvm_late import tirx
from .elements import dtype_of, element_of
from .far import far_int64

Expr = Any
Let = Callable[[Expr], Expr]

_WHOLE, _WHOLE_BITS = 1.5 * 2.0**52, 0x4338 << 48


def convert(x: Expr, dtype: str, let: Let) -> Expr:
    """``x`` as a number of another type, none of them bool."""
    source = dtype_of(x)
    if source == "float16" or dtype == "float16":  # processors convert it to float32 only
        x = tirx.Cast("float32", x)
    if DTYPES[dtype].is_float or not element_of(x).is_float:
        return tirx.Cast(dtype, x)
    x = let(x)
    if dtype == "uint64":
        return _to_uint64(x, let)
    if dtype in ("int64", "uint32"):
        return tirx.Cast(dtype, _to_int64(x))
    lowest = tirx.const(-(2.0**31), dtype_of(x))  # chosen before lanes get narrower
    return tirx.Cast(dtype, tirx.Cast("int32", tirx.Select(_is_within(x, 2.0**31), x, lowest)))


def _is_within(x: Expr, limit: float) -> Expr:
    return tirx.abs(x) < tirx.const(limit, dtype_of(x))


def _to_int64(x: Expr) -> Expr:
    """Towards zero; the lowest number where int64 does not hold it.

    Before AVX-512 processors convert vectors to int32 alone. A float64 from 2**52 to 2**53 is a
    whole number, whose last bits are that number's.
    """
    if element_of(x).name == "float64":
        bits = tirx.reinterpret("int64", tirx.trunc(x) + tirx.const(_WHOLE, "float64"))
        return far_int64(_is_within(x, 2.0**51), bits - tirx.const(_WHOLE_BITS, "int64"), x)
    return far_int64(_is_within(x, 2.0**31), tirx.Cast("int64", tirx.Cast("int32", x)), x)


def _to_uint64(x: Expr, let: Let) -> Expr:
    """As int64 below 2**63, and beyond it what is left of it."""
    upper = x >= tirx.const(float(2**63), dtype_of(x))
    rest = x + tirx.const(-float(2**63), dtype_of(x))
    low = let(_to_int64(let(tirx.Select(upper, rest, x))))
    flipped = tirx.bitwise_xor(low, tirx.const(-(2**63), "int64"))
    return tirx.Cast("uint64", tirx.Select(upper, flipped, low))
