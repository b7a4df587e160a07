"""Conversions between element types, with one meaning for every number.

The standard, C and LLVM leave open what a float becomes that an integer type does not hold, and
LLVM makes other code of it in a vector than at its end. Here it is what x86 processors give: NaN
and what is beyond int32 or int64 is the lowest number of that type; narrower types take the low
bits of int32, and uint32 those of int64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ir.dtype import DTYPES, DType
from ..tvm_late import tirx

Expr = Any
Let = Callable[[Expr], Expr]


def dtype_of(x: Expr) -> str:
    """Its dtype, by name."""
    return str(x.ty.dtype)


def element_of(x: Expr) -> DType:
    """Its element type, that of each lane where it is a vector."""
    return DTYPES[dtype_of(x).partition("x")[0]]


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
    whole = _to_signed(x, "int64" if dtype in ("int64", "uint32") else "int32")
    return tirx.Cast(dtype, whole)


def _to_signed(x: Expr, dtype: str) -> Expr:
    """Towards zero; the lowest number where ``dtype`` does not hold it."""
    limit = 2 ** (31 if dtype == "int32" else 63)
    end = tirx.const(float(limit), dtype_of(x))
    inside = tirx.all(x >= tirx.const(float(-limit), dtype_of(x)), x < end)
    return tirx.Select(inside, tirx.Cast(dtype, x), tirx.const(-limit, dtype))


def _to_uint64(x: Expr, let: Let) -> Expr:
    """As int64 below 2**63, and beyond it what is left of it."""
    upper = x >= tirx.const(float(2**63), dtype_of(x))
    rest = x + tirx.const(-float(2**63), dtype_of(x))
    low = let(_to_signed(let(tirx.Select(upper, rest, x)), "int64"))
    flipped = tirx.bitwise_xor(low, tirx.const(-(2**63), "int64"))
    return tirx.Cast("uint64", tirx.Select(upper, flipped, low))
