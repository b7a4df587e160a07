"""Comparisons, truth values and choices, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..tir.compare import equal, is_number, less, less_equal
from ..tir.elements import dtype_of
from ..tir.literals import constant
from ..tvm_late import tirx
from .emission import binding, is_true, truth
from .numbers import numpy
from .operator import Elementwise, Emit, Expr, Let


def _condition(condition: Callable[..., Expr], then: int = 1, otherwise: int = 0) -> Emit:
    return lambda node, args, dtypes, let: truth(condition(*args), then, otherwise)


def _combined(combine: str) -> Emit:
    return _condition(lambda a, b: getattr(tirx, combine)(is_true(a), is_true(b)))


def _xor(a: Expr, b: Expr, let: Let) -> Expr:
    return tirx.bitwise_xor(truth(is_true(a)), truth(is_true(b)))


def _isinf(x: Expr, let: Let) -> Expr:
    x, dtype = let(x), dtype_of(x)
    return truth(tirx.any(x == constant(math.inf, dtype), x == constant(-math.inf, dtype)))


def _where(condition: Expr, then: Expr, otherwise: Expr, let: Let) -> Expr:
    return tirx.Select(is_true(condition), then, otherwise)


def _truth(
    name: str, arity: int, evaluate: Callable[..., Any], emit: Emit, *, commutes: bool = False
) -> Elementwise:
    return Elementwise(name, arity, numpy(evaluate), emit=emit, gives_truth=True, commutes=commutes)


OPERATORS = (
    _truth("isnan", 1, np.isnan, _condition(is_number, 0, 1)),
    _truth("isinf", 1, np.isinf, binding(_isinf)),
    _truth("equal", 2, np.equal, _condition(equal), commutes=True),
    _truth("not_equal", 2, np.not_equal, _condition(equal, 0, 1), commutes=True),
    _truth("less", 2, np.less, _condition(less)),
    _truth("less_equal", 2, np.less_equal, _condition(less_equal)),
    _truth("greater", 2, np.greater, _condition(lambda a, b: less(b, a))),
    _truth("greater_equal", 2, np.greater_equal, _condition(lambda a, b: less_equal(b, a))),
    _truth("logical_not", 1, np.logical_not, _condition(lambda a: a == tirx.const(0, "int8"))),
    _truth("logical_and", 2, np.logical_and, _combined("all"), commutes=True),
    _truth("logical_or", 2, np.logical_or, _combined("any"), commutes=True),
    _truth("logical_xor", 2, np.logical_xor, binding(_xor), commutes=True),
    Elementwise("where", 3, numpy(np.where), emit=binding(_where)),  # condition, then, else
)
