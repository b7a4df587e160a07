"""Remainders of floats, exact as C's ``fmod``, by arithmetic that vectorises.

A quotient that is rounded to nearest is no smaller than the whole number before it, and no larger
than the one after it: whole numbers are floats up to two to the number of digits. So its whole part
is the quotient's or one more, and what one fused multiply-add leaves of the dividend is exact: a
multiple of the divisor's last digit that is smaller than the divisor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.dtype import DTYPES
from ..tvm_late import tirx
from .elements import dtype_of
from .far import far_lanes

Expr = Any
Let = Callable[[Expr], Expr]


def remainder(a: Expr, b: Expr, let: Let) -> Expr:
    """C's: the dividend's sign, of zero too; NaN by zero and of infinity."""
    a = let(a)
    return _signed(_of_sizes(let(tirx.abs(a)), let(tirx.abs(b)), let), a)


def floor_remainder(a: Expr, b: Expr, let: Let) -> Expr:
    """Python's: the divisor's sign, of zero too."""
    b, rest = let(b), let(remainder(a, b, let))
    zero = tirx.const(0, dtype_of(b))
    differ = tirx.any(tirx.all(rest < zero, b > zero), tirx.all(rest > zero, b < zero))
    rest = let(tirx.Select(differ, rest + b, rest))
    return tirx.Select(rest == zero, _signed(let(tirx.abs(rest)), b), rest)


def _of_sizes(a: Expr, b: Expr, let: Let) -> Expr:
    """Of two numbers without signs."""
    dtype = dtype_of(a)
    quotient = let(a / b)
    whole = let(tirx.trunc(quotient) * tirx.const(-1, dtype))
    rest = let(tirx.call_llvm_pure_intrin(dtype, "llvm.fma", whole, b, a))
    rest = let(tirx.Select(rest < tirx.const(0, dtype), rest + b, rest))
    rest = let(tirx.Select(a < b, a, rest))  # of an infinite divisor, too
    most = tirx.const(2.0 ** (np.finfo(dtype).nmant + 1), dtype)
    return let(far_lanes("fmod", quotient >= most, rest, a, b))


def _signed(size: Expr, like: Expr) -> Expr:
    """``size``, which is not negative, with the sign of another number."""
    dtype = dtype_of(size)
    bits = f"int{DTYPES[dtype].bits}"
    sign = tirx.const(int(np.iinfo(bits).min), bits)
    found = tirx.bitwise_and(tirx.call_intrin(bits, "tirx.reinterpret", like), sign)
    found = tirx.bitwise_or(found, tirx.call_intrin(bits, "tirx.reinterpret", size))
    return tirx.call_intrin(dtype, "tirx.reinterpret", found)
