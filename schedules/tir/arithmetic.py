"""Arithmetic that is IEEE's, and C's on whole numbers, whatever TVM's simplifier knows of numbers.

The simplifier takes floats for real numbers: ``x - x`` and ``x * 0`` are 0 to it, ``(x + y) - y``
is ``x``, and a literal 0 may be left out of a sum and must not divide. It cancels in differences
alone and sees zeros in literals alone, so no float is subtracted here and no zero is a literal:
LLVM makes the same instructions of what is written instead.

Whole numbers of 32 bits and more never overflow to TVM, nor to the LLVM code that it writes. So
they are computed in twice the bits, which LLVM narrows again, and ``let`` puts each result where
the simplifier does not look. Divisions never trap, remainders of floats are exact.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.dtype import DTYPES, Kind
from ..tvm_late import tirx
from . import conversion, general_power, mathfn, remainder
from .elements import dtype_of, element_of
from .far import far_division

Expr = Any
Let = Callable[[Expr], Expr]


def number(value: float, dtype: str) -> Expr:
    """A float operand of arithmetic: a literal, but zeros are made of their bits."""
    if value:
        return tirx.const(value, dtype)
    bits = f"int{DTYPES[dtype].bits}"
    sign = tirx.const(int(np.iinfo(bits).min), bits)
    minus_zero = tirx.call_intrin(dtype, "tirx.reinterpret", sign)
    return minus_zero if math.copysign(1, value) < 0 else -minus_zero


def negative(x: Expr, let: Let) -> Expr:
    """``-x``."""
    if _is_float(x):
        return -x
    return add(tirx.bitwise_not(x), tirx.const(1, dtype_of(x)), let)


def absolute(x: Expr, let: Let) -> Expr:
    """``|x|``; the lowest whole number stays what it is."""
    if element_of(x).kind is not Kind.INT:
        return tirx.abs(x) if _is_float(x) else x
    x = let(x)
    return tirx.Select(x < tirx.const(0, dtype_of(x)), negative(x, let), x)


def add(a: Expr, b: Expr, let: Let) -> Expr:
    """``a + b``."""
    return _whole(operator.add, a, b, let) if not _is_float(a) else a + b


def subtract(a: Expr, b: Expr, let: Let) -> Expr:
    """``a - b``."""
    return _whole(operator.sub, a, b, let) if not _is_float(a) else a + -b


def multiply(a: Expr, b: Expr, let: Let) -> Expr:
    """``a * b``."""
    return _whole(operator.mul, a, b, let) if not _is_float(a) else a * b


def _whole(compute: Callable[[Expr, Expr], Expr], a: Expr, b: Expr, let: Let) -> Expr:
    """Modulo two to the number of bits."""
    element = element_of(a)
    unsigned = element.kind is Kind.UINT
    if element.bits < 32 and not (unsigned and compute is operator.sub):  # which TVM aborts at
        return let(compute(a, b))
    sign = "u" if unsigned and compute is operator.mul else ""
    wide = f"{sign}int{2 * element.bits}"
    return let(tirx.Cast(element.name, compute(*(tirx.Cast(wide, _bits(x)) for x in (a, b)))))


def _bits(x: Expr) -> Expr:
    """A literal beyond int64 by its bits: casts of others are literals that LLVM knows."""
    if not isinstance(x, tirx.IntImm) or x.value < 2**63:
        return x
    bits = tirx.const(x.value - 2**64, "int64")
    return tirx.call_intrin("uint64", "tirx.reinterpret", bits)


def divide(a: Expr, b: Expr, let: Let) -> Expr:
    """Whole numbers are rounded towards zero; by zero they are 0."""
    return a / b if _is_float(a) else _quotient(a, b, let, down=False)


def floor_divide(a: Expr, b: Expr, let: Let) -> Expr:
    """Rounded down; whole numbers by zero are 0."""
    return tirx.floor(a / b) if _is_float(a) else _quotient(a, b, let, down=True)


def mod(a: Expr, b: Expr, let: Let) -> Expr:
    """C's remainder: the dividend's sign."""
    return remainder.remainder(a, b, let) if _is_float(a) else _rest(a, b, let, down=False)


def floor_mod(a: Expr, b: Expr, let: Let) -> Expr:
    """Python's remainder: the divisor's sign, of zero too."""
    return remainder.floor_remainder(a, b, let) if _is_float(a) else _rest(a, b, let, down=True)


def _quotient(a: Expr, b: Expr, let: Let, *, down: bool) -> Expr:
    """Of whole numbers, as NumPy divides; processors do it lane by lane, but for literals, of which
    LLVM makes products."""
    b = let(b)
    divisor = _divisor(a, b, let)
    if isinstance(b, tirx.IntImm):
        found = (tirx.floordiv if down else tirx.truncdiv)(a, divisor)
    elif element_of(a).bits == 64:
        found = far_division(a, divisor, rest=False, down=down)
    else:
        found = _by_floats(a, divisor, let, down=down)
    return let(tirx.Select(b == tirx.const(0, dtype_of(b)), tirx.const(0, dtype_of(b)), found))


def _rest(a: Expr, b: Expr, let: Let, *, down: bool) -> Expr:
    """What that quotient leaves."""
    a, divisor = let(a), _divisor(a, b, let)
    if isinstance(b, tirx.IntImm):
        return let((tirx.floormod if down else tirx.truncmod)(a, divisor))
    if element_of(a).bits == 64:
        return let(far_division(a, divisor, rest=True, down=down))
    whole = _by_floats(a, divisor, let, down=down)
    return let(subtract(a, multiply(whole, divisor, let), let))


def _by_floats(a: Expr, b: Expr, let: Let, *, down: bool) -> Expr:
    """The quotient of whole numbers of up to 32 bits.

    A quotient that is not a whole number is 1 / b away from the next, which is more than a float
    of as many digits as the dividend has, and some more, is rounded by.
    """
    dtype = dtype_of(a)
    real = "float32" if element_of(a).bits <= 16 else "float64"
    rounded = tirx.floor if down else tirx.trunc
    whole = rounded(tirx.Cast(real, a) / tirx.Cast(real, b))
    if dtype == "uint32":  # by the last bits of a float64 from 2**52 on
        bits = tirx.call_intrin("int64", "tirx.reinterpret", whole + mathfn.f64(2.0**52))
        return let(tirx.Cast(dtype, bits))
    return let(tirx.Cast(dtype, tirx.Cast("int32", whole)))


def _is_float(x: Expr) -> bool:
    return element_of(x).is_float


def _divisor(a: Expr, b: Expr, let: Let) -> Expr:
    """The divisor, or 1 where the processor would trap: division by zero, and overflow."""
    dtype, b = dtype_of(a), let(b)
    traps = b == tirx.const(0, dtype)
    if element_of(a).kind is Kind.INT:
        above_lowest = tirx.const(-int(np.iinfo(dtype).max), dtype)  # TVM thinks none is lowest
        overflows = tirx.all(let(a) < above_lowest, b == tirx.const(-1, dtype))
        traps = tirx.any(traps, overflows)
    return let(tirx.Select(traps, tirx.const(1, dtype), b))  # or else TVM divides by both


def power(a: Expr, b: Expr, let: Let) -> Expr:
    """``a ** b``."""
    if not _is_float(a):
        return _integer_power(a, b, let)
    if isinstance(b, tirx.FloatImm) and dtype_of(a) == "float32":
        fast = mathfn.power(a, float(b.value), let)
        if fast is not None:
            return fast
    return general_power.power(a, b, let) if dtype_of(a) == "float32" else _pow(a, b)


def _pow(a: Expr, b: Expr) -> Expr:
    """C's pow; TVM's own way to write it warns of exponents from 3 on."""
    return tirx.call_intrin(dtype_of(a), "tirx.pow", a, b)


def _integer_power(a: Expr, b: Expr, let: Let) -> Expr:
    """Exact up to 2**53, as far as float64 is; squares and cubes always."""
    if isinstance(b, tirx.IntImm) and b.value in (1, 2, 3):
        power = a = let(a)
        for _ in range(b.value - 1):
            power = multiply(power, a, let)
        return power
    found = _pow(tirx.Cast("float64", a), tirx.Cast("float64", b))
    return conversion.convert(found, dtype_of(a), let)


def left_shift(a: Expr, b: Expr, let: Let) -> Expr:
    """``a << b``; 0 where ``b`` is below 0 or the number of bits and more."""
    shift, inside = _shift(a, b, let)
    return let(tirx.Select(inside, tirx.shift_left(a, shift), tirx.const(0, dtype_of(a))))


def right_shift(a: Expr, b: Expr, let: Let) -> Expr:
    """``a >> b``, which keeps the sign; what the sign alone makes of it where no bit is left."""
    a = let(a)
    shift, inside = _shift(a, b, let)
    rest = zero = tirx.const(0, dtype_of(a))
    if element_of(a).kind is Kind.INT:
        rest = tirx.Select(a < zero, tirx.const(-1, dtype_of(a)), zero)
    return let(tirx.Select(inside, tirx.shift_right(a, shift), rest))


def _shift(a: Expr, b: Expr, let: Let) -> tuple[Expr, Expr]:
    """The number of bits where processors and LLVM know what it means, and whether it is one."""
    dtype, b = dtype_of(a), let(b)
    inside = b < tirx.const(np.iinfo(dtype).bits, dtype)
    if element_of(a).kind is Kind.INT:
        inside = tirx.all(inside, b >= tirx.const(0, dtype))
    return let(tirx.Select(inside, b, tirx.const(0, dtype))), inside
