"""Comparisons, truth values and choices, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.workload import Node
from ..tir.compare import equal, is_number, less, less_equal
from ..tir.literals import constant
from ..tvm_late import tirx
from .emission import is_true, truth
from .numbers import numpy
from .operator import Elementwise, Emit, Expr, Let


def _comparison(condition: Callable[[Expr, Expr], Expr]) -> Emit:
    return lambda node, args, dtypes, let: truth(condition(args[0], args[1]))


def _not_equal(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    return truth(equal(args[0], args[1]), 0, 1)


def _combined(combine: str) -> Emit:
    def emit(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
        zero = tirx.const(0, "int8")
        return truth(getattr(tirx, combine)(*(a != zero for a in args)))

    return emit


def _xor(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    a, b = (truth(is_true(a)) for a in args)
    return tirx.bitwise_xor(a, b)


def _not(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    return truth(args[0] == tirx.const(0, "int8"))


def _isinf(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    x = let(args[0])
    infinity = constant(math.inf, dtypes[0])
    return truth(tirx.any(x == infinity, x == constant(-math.inf, dtypes[0])))


def _isnan(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    return truth(is_number(args[0]), 0, 1)


def _where(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    return tirx.Select(is_true(args[0]), args[1], args[2])


def _truth(
    name: str, arity: int, evaluate: Callable[..., Any], emit: Emit, *, commutes: bool = False
) -> Elementwise:
    return Elementwise(name, arity, numpy(evaluate), emit=emit, gives_truth=True, commutes=commutes)


OPERATORS = (
    _truth("isnan", 1, np.isnan, _isnan),
    _truth("isinf", 1, np.isinf, _isinf),
    _truth("equal", 2, np.equal, _comparison(equal), commutes=True),
    _truth("not_equal", 2, np.not_equal, _not_equal, commutes=True),
    _truth("less", 2, np.less, _comparison(less)),
    _truth("less_equal", 2, np.less_equal, _comparison(less_equal)),
    _truth("greater", 2, np.greater, _comparison(lambda a, b: less(b, a))),
    _truth("greater_equal", 2, np.greater_equal, _comparison(lambda a, b: less_equal(b, a))),
    _truth("logical_not", 1, np.logical_not, _not),
    _truth("logical_and", 2, np.logical_and, _combined("all"), commutes=True),
    _truth("logical_or", 2, np.logical_or, _combined("any"), commutes=True),
    _truth("logical_xor", 2, np.logical_xor, _xor, commutes=True),
    Elementwise("where", 3, numpy(np.where), emit=_where),  # condition, then, else
)
