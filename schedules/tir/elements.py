"""Of what type an expression is."""

from __future__ import annotations

from typing import Any

from ..ir.dtype import DTYPES, DType

Expr = Any


def dtype_of(x: Expr) -> str:
    """Its dtype, by name."""
    return str(x.ty.dtype)


def element_of(x: Expr) -> DType:
    """Its element type, that of each lane where it is a vector."""
    return DTYPES[dtype_of(x).partition("x")[0]]
