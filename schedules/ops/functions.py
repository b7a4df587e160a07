"""Functions of one real number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..ir.dtype import FLOAT32
from ..ir.workload import Node
from ..tir import circular, circular_doubles, doubles, mathfn
from ..tir.elements import dtype_of
from ..tvm_late import tirx
from .emission import binding
from .numbers import costly, numpy
from .operator import Array, Elementwise, Emit, Expr, Let


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x), x.dtype)


def _rsqrt(x: Expr, let: Let) -> Expr:
    return tirx.const(1.0, dtype_of(x)) / tirx.sqrt(x)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _by_width(single: Callable[..., Expr], double: Callable[..., Expr]) -> Emit:
    """By arithmetic of our own, which vectorises."""

    def emit(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
        return (single if node.out.element == FLOAT32 else double)(*args, let)

    return emit


def _rounding(name: str) -> Emit:
    """By LLVM's intrinsic. Where LLVM sees that its argument was a float16, it takes the intrinsic
    of that type, lane by lane."""

    def emit(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
        (x,), dtype = args, node.out.dtype
        if isinstance(x, tirx.Cast):
            x = tirx.call_llvm_pure_intrin(dtype, "llvm.arithmetic.fence", x)
        return tirx.call_llvm_pure_intrin(dtype, f"llvm.{name}", x)

    return emit


OPERATORS = (
    costly("exp", np.exp, _by_width(mathfn.exp, doubles.exp)),
    costly("log", np.log, _by_width(mathfn.log, doubles.log), wants_positive=True),
    costly("sqrt", np.sqrt, wants_positive=True),
    costly("rsqrt", lambda x: 1 / np.sqrt(x), binding(_rsqrt), wants_positive=True),
    costly("sigmoid", lambda x: 1 / (1 + np.exp(-x)), _by_width(mathfn.sigmoid, doubles.sigmoid)),
    costly("softplus", _softplus, _by_width(mathfn.softplus, doubles.softplus)),
    costly("tanh", np.tanh, _by_width(mathfn.tanh, doubles.tanh)),
    costly("erf", _erf, _by_width(mathfn.erf, doubles.erf)),
    costly("sin", np.sin, _by_width(circular.sin, circular_doubles.sin)),
    costly("cos", np.cos, _by_width(circular.cos, circular_doubles.cos)),
    costly("tan", np.tan, _by_width(circular.tan, circular_doubles.tan)),
    costly("sinh", np.sinh, _by_width(circular.sinh, circular_doubles.sinh)),
    costly("cosh", np.cosh, _by_width(circular.cosh, circular_doubles.cosh)),
    costly("asin", np.arcsin, _by_width(circular.asin, circular_doubles.asin)),
    costly("acos", np.arccos, _by_width(circular.acos, circular_doubles.acos)),
    costly("atan", np.arctan, _by_width(circular.atan, circular_doubles.atan)),
    costly("asinh", np.arcsinh, _by_width(circular.asinh, circular_doubles.asinh)),
    costly(
        "acosh",
        np.arccosh,
        _by_width(circular.acosh, circular_doubles.acosh),
        wants_positive=True,
    ),
    costly("atanh", np.arctanh, _by_width(circular.atanh, circular_doubles.atanh)),
    Elementwise("floor", 1, numpy(np.floor), emit=_rounding("floor")),
    Elementwise("ceil", 1, numpy(np.ceil), emit=_rounding("ceil")),
    # half to even
    Elementwise("round", 1, numpy(np.round), emit=_rounding("roundeven")),
    Elementwise("trunc", 1, numpy(np.trunc), emit=_rounding("trunc")),
)
