"""Numbers as TensorIR literals. Booleans are 0 or 1 in int8."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.dtype import DTYPES
from ..ir.size import Size
from ..tvm_late import tirx
from . import arithmetic
from .casts import cast

Expr = Any


def storage(dtype: str) -> str:
    """The dtype that memory holds for a workload's dtype."""
    return DTYPES[dtype].storage


def constant(value: Any, dtype: str) -> Expr:
    """A literal; infinities and NaN may be spelled as strings, since JSON has none.

    A size that is known only at run time is one, too.
    """
    if isinstance(value, Size):
        return tirx.Cast(storage(dtype), value.expression)
    if DTYPES[dtype].is_narrow:  # its bits
        value = cast(np.asarray(float(value), np.float32), dtype).view(storage(dtype))
    elif DTYPES[dtype].is_float:
        return tirx.const(float(value), dtype)
    return tirx.const(int(value), storage(dtype))


def operand(value: Any, dtype: str) -> Expr:
    """A literal that arithmetic may use: see ``arithmetic``."""
    element = DTYPES[dtype]
    if element.is_float and not element.is_narrow:
        return arithmetic.number(float(value), dtype)
    return constant(value, dtype)


def reciprocal(count: int, dtype: str) -> Expr:
    """One divided by a number, which may be a size that is known only at run time."""
    if isinstance(count, Size):
        return constant(1, dtype) / constant(count, dtype)
    return constant(1.0 / count, dtype)
