"""How expressions of elementwise operators are written; see ``operator.Emit``."""

from __future__ import annotations

from collections.abc import Callable

from ..tvm_late import tirx
from .operator import Emit, Expr


def binding(function: Callable[..., Expr]) -> Emit:
    """By a function of the arguments and of what names values."""
    return lambda node, args, dtypes, let: function(*args, let)


def intrinsic(name: str) -> Emit:
    """By TVM's function of that name."""
    return lambda node, args, dtypes, let: getattr(tirx, name)(*args)


def truth(condition: Expr, then: int = 1, otherwise: int = 0) -> Expr:
    """A condition as a number."""
    return tirx.Select(condition, tirx.const(then, "int8"), tirx.const(otherwise, "int8"))


def is_true(x: Expr) -> Expr:
    """A number as a condition."""
    return x != tirx.const(0, "int8")
