"""Numbers as TensorIR literals. Booleans are 0 or 1 in int8."""

from __future__ import annotations

from typing import Any

from ..ir.dtype import DTYPES
from ..tvm_late import tirx
from . import arithmetic

Expr = Any


def storage(dtype: str) -> str:
    """The dtype that memory holds for a workload's dtype."""
    return "int8" if dtype == "bool" else dtype


def constant(value: Any, dtype: str) -> Expr:
    """A literal; infinities and NaN may be spelled as strings, since JSON has none."""
    if DTYPES[dtype].is_float:
        return tirx.const(float(value), dtype)
    return tirx.const(int(value), storage(dtype))


def operand(value: Any, dtype: str) -> Expr:
    """A literal that arithmetic may use: see ``arithmetic``."""
    if DTYPES[dtype].is_float:
        return arithmetic.number(float(value), dtype)
    return constant(value, dtype)
