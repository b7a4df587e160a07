"""Numbers as TensorIR literals. Booleans are 0 or 1 in int8."""

from __future__ import annotations

from typing import Any

from ..ir.dtype import DTYPES
from ..ir.size import Size
from ..tvm_late import tirx
from . import arithmetic

Expr = Any


def storage(dtype: str) -> str:
    """The dtype that memory holds for a workload's dtype."""
    return "int8" if dtype == "bool" else dtype


def constant(value: Any, dtype: str) -> Expr:
    """A literal; infinities and NaN may be spelled as strings, since JSON has none.

    A size that is known only at run time is one, too.
    """
    if isinstance(value, Size):
        return tirx.Cast(storage(dtype), value.expression)
    if DTYPES[dtype].is_float:
        return tirx.const(float(value), dtype)
    return tirx.const(int(value), storage(dtype))


def operand(value: Any, dtype: str) -> Expr:
    """A literal that arithmetic may use: see ``arithmetic``."""
    if DTYPES[dtype].is_float:
        return arithmetic.number(float(value), dtype)
    return constant(value, dtype)


def reciprocal(count: int, dtype: str) -> Expr:
    """One divided by a number, which may be a size that is known only at run time."""
    if isinstance(count, Size):
        return constant(1, dtype) / constant(count, dtype)
    return constant(1.0 / count, dtype)
