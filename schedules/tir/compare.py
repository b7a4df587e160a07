"""Comparisons that survive TVM: NaN equals nothing, and nothing unsigned is below zero.

TVM's simplifier takes ``x == x`` for granted, also where it finds out that both sides are the same,
and ``not a < b`` for ``b <= a``; its ``!=`` is LLVM's ordered comparison, false where a side is
NaN; and it aborts where it has to assume of an unsigned number that it is below a literal zero.
What it subtracts the lowest number from, it takes for increased by that.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.dtype import Kind
from ..tvm_late import tirx
from .elements import dtype_of, element_of

Expr = Any


def less(a: Expr, b: Expr) -> Expr:
    """``a < b``."""
    return tirx.const(False, "bool") if _is_unsigned_zero(b) else _operand(a) < _operand(b)


def less_equal(a: Expr, b: Expr) -> Expr:
    """``a <= b``."""
    return tirx.const(True, "bool") if _is_unsigned_zero(a) else _operand(a) <= _operand(b)


def equal(a: Expr, b: Expr) -> Expr:
    """``a == b``; for ``!=``, choose the other way round."""
    if element_of(a).is_float:
        return tirx.all(a <= b, b <= a)
    return _operand(a) == _operand(b)


def is_number(x: Expr) -> Expr:
    """Whether a float is not NaN."""
    return x <= tirx.const(math.inf, dtype_of(x))


def extreme(op: str, a: Expr, b: Expr) -> Expr:
    """The larger ("max") or smaller ("min") one; NaN where either is NaN."""
    first = less(b, a) if op == "max" else less(a, b)
    chosen = tirx.Select(first, a, b)  # b where either is NaN
    return tirx.Select(is_number(a), chosen, a) if element_of(a).is_float else chosen


def _operand(x: Expr) -> Expr:
    """The expression; of the lowest number, its bits."""
    dtype = dtype_of(x)
    if not isinstance(x, tirx.IntImm) or element_of(x).kind is not Kind.INT:
        return x
    if x.value != np.iinfo(dtype).min:
        return x
    bits = f"u{dtype}"
    return tirx.call_intrin(
        dtype, "tirx.reinterpret", tirx.const(2 ** np.iinfo(bits).bits // 2, bits)
    )


def _is_unsigned_zero(x: Expr) -> bool:
    return isinstance(x, tirx.IntImm) and element_of(x).kind is Kind.UINT and x.value == 0
