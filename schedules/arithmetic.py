"""Division, remainders and powers: whole numbers never trap, remainders of floats are exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import tirx

from . import mathfn

Expr = Any
Bind = Callable[[Expr], Expr]


def dtype_of(x: Expr) -> str:
    """Its dtype, by name."""
    return str(x.ty.dtype)


def libm(name: str) -> Callable[..., Expr]:
    """C's function, called once for each lane: where TVM has none, or one that is inexact."""

    def call(*args: Expr) -> Expr:
        dtype = dtype_of(args[0])
        return tirx.call_pure_extern(dtype, name + "f" * (dtype == "float32"), *args)

    return call


def negative(x: Expr) -> Expr:
    """``-x``; TVM takes ``0 - x`` for zero where x has no sign."""
    if dtype_of(x).startswith("uint"):
        return tirx.bitwise_not(x) + tirx.const(1, dtype_of(x))
    return -x


def divide(a: Expr, b: Expr, bind: Bind) -> Expr:
    """Whole numbers are rounded towards zero."""
    return a / b if _is_float(a) else tirx.truncdiv(a, _divisor(a, b, bind))


def floor_divide(a: Expr, b: Expr, bind: Bind) -> Expr:
    """Rounded down."""
    return tirx.floor(a / b) if _is_float(a) else tirx.floordiv(a, _divisor(a, b, bind))


def mod(a: Expr, b: Expr, bind: Bind) -> Expr:
    """C's remainder: the dividend's sign."""
    return libm("fmod")(a, b) if _is_float(a) else tirx.truncmod(a, _divisor(a, b, bind))


def floor_mod(a: Expr, b: Expr, bind: Bind) -> Expr:
    """Python's remainder: the divisor's sign."""
    if not _is_float(a):
        return tirx.floormod(a, _divisor(a, b, bind))
    zero, b = tirx.const(0, dtype_of(a)), bind(b)
    rest = bind(libm("fmod")(a, b))
    other_sign = tirx.any(tirx.all(rest < zero, b > zero), tirx.all(rest > zero, b < zero))
    return tirx.Select(other_sign, rest + b, rest)


def _is_float(x: Expr) -> bool:
    return dtype_of(x).startswith("float")


def _divisor(a: Expr, b: Expr, bind: Bind) -> Expr:
    """The divisor, or 1 where the processor would trap: division by zero, and overflow."""
    dtype, b = dtype_of(a), bind(b)
    traps = b == tirx.const(0, dtype)
    if dtype.startswith("int"):
        above_lowest = tirx.const(-int(np.iinfo(dtype).max), dtype)  # TVM thinks none is lowest
        overflows = tirx.all(bind(a) < above_lowest, b == tirx.const(-1, dtype))
        traps = tirx.any(traps, overflows)
    return bind(tirx.Select(traps, tirx.const(1, dtype), b))  # or else TVM divides by both


def power(a: Expr, b: Expr, bind: Bind) -> Expr:
    """``a ** b``."""
    if not _is_float(a):
        return _integer_power(a, b, bind)
    if isinstance(b, tirx.FloatImm) and dtype_of(a) == "float32":
        fast = mathfn.power(a, float(b.value), bind)
        if fast is not None:
            return fast
    return tirx.power(a, b)


def _integer_power(a: Expr, b: Expr, bind: Bind) -> Expr:
    """Exact up to 2**53, as far as float64 is; squares and cubes always."""
    if isinstance(b, tirx.IntImm) and b.value in (1, 2, 3):
        a = bind(a)
        return (a, a * a, a * a * a)[b.value - 1]
    return tirx.Cast(dtype_of(a), tirx.power(tirx.Cast("float64", a), tirx.Cast("float64", b)))
