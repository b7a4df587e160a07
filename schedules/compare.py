"""Comparisons that survive TVM: NaN equals nothing, and nothing unsigned is below zero.

TVM's simplifier takes ``x == x`` for granted and ``not a < b`` for ``b <= a``; its ``!=`` is LLVM's
ordered comparison, false where a side is NaN; and it aborts where it has to assume of an unsigned
number that it is below a literal zero.
"""

from __future__ import annotations

import math
from typing import Any

from tvm import tirx
from tvm_ffi import structural_equal

Expr = Any


def less(a: Expr, b: Expr) -> Expr:
    """``a < b``."""
    return tirx.const(False, "bool") if _is_unsigned_zero(b) else a < b


def less_equal(a: Expr, b: Expr) -> Expr:
    """``a <= b``."""
    if _is_unsigned_zero(a):
        return tirx.const(True, "bool")
    return is_number(a) if _same_float(a, b) else a <= b


def equal(a: Expr, b: Expr) -> Expr:
    """``a == b``; for ``!=``, choose the other way round."""
    return is_number(a) if _same_float(a, b) else a == b


def is_number(x: Expr) -> Expr:
    """Whether a float is not NaN."""
    return x <= tirx.const(math.inf, _dtype(x))


def extreme(op: str, a: Expr, b: Expr) -> Expr:
    """The larger ("max") or smaller ("min") one; NaN where either is NaN."""
    first = less(b, a) if op == "max" else less(a, b)
    chosen = tirx.Select(first, a, b)  # b where either is NaN
    return tirx.Select(is_number(a), chosen, a) if _dtype(a).startswith("float") else chosen


def _dtype(x: Expr) -> str:
    return str(x.ty.dtype)


def _is_unsigned_zero(x: Expr) -> bool:
    return isinstance(x, tirx.IntImm) and _dtype(x).startswith("uint") and x.value == 0


def _same_float(a: Expr, b: Expr) -> bool:
    return _dtype(a).startswith("float") and bool(structural_equal(a, b))
