"""Functions of one real number."""

from __future__ import annotations

import math

import numpy as np

from ..tir import circular, mathfn
from ..tir.arithmetic import libm as _libm
from ..tir.conversion import dtype_of
from ..tvm_late import tirx
from .emission import binding, fast, intrinsic, libm, llvm
from .numbers import costly, numpy
from .operator import Array, Elementwise, Expr, Let


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x), x.dtype)


def _rsqrt(x: Expr, let: Let) -> Expr:
    return tirx.const(1.0, dtype_of(x)) / tirx.sqrt(x)


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _wide_softplus(x: Expr, let: Let) -> Expr:
    x, zero = let(x), tirx.const(0, dtype_of(x))
    small = tirx.exp(-tirx.abs(x))
    return tirx.Select(x < zero, zero, x) + _libm("log1p")(small)


def _wide(dtype: str) -> bool:
    return dtype == "float64"


OPERATORS = (
    costly("exp", np.exp, fast(mathfn.exp, intrinsic("exp"))),
    costly("log", np.log, fast(mathfn.log, intrinsic("log")), wants_positive=True),
    costly("sqrt", np.sqrt, wants_positive=True),
    costly("rsqrt", lambda x: 1 / np.sqrt(x), binding(_rsqrt), wants_positive=True),
    costly("sigmoid", lambda x: 1 / (1 + np.exp(-x)), fast(mathfn.sigmoid, intrinsic("sigmoid"))),
    costly("softplus", _softplus, fast(mathfn.softplus, binding(_wide_softplus)), _wide),
    costly("tanh", np.tanh, fast(mathfn.tanh, libm("tanh")), _wide),
    costly("erf", _erf, fast(mathfn.erf, intrinsic("erf")), _wide),
    costly("sin", np.sin, fast(circular.sin, intrinsic("sin"))),
    costly("cos", np.cos, fast(circular.cos, intrinsic("cos"))),
    costly("tan", np.tan, fast(circular.tan, intrinsic("tan"))),
    costly("sinh", np.sinh, fast(circular.sinh, libm("sinh")), _wide),
    costly("cosh", np.cosh, fast(circular.cosh, libm("cosh")), _wide),
    costly("asin", np.arcsin, fast(circular.asin, intrinsic("asin")), _wide),
    costly("acos", np.arccos, fast(circular.acos, intrinsic("acos")), _wide),
    costly("atan", np.arctan, fast(circular.atan, intrinsic("atan")), _wide),
    costly("asinh", np.arcsinh, fast(circular.asinh, intrinsic("asinh")), _wide),
    costly(
        "acosh",
        np.arccosh,
        fast(circular.acosh, intrinsic("acosh")),
        _wide,
        wants_positive=True,
    ),
    costly("atanh", np.arctanh, fast(circular.atanh, libm("atanh")), _wide),
    Elementwise("floor", 1, numpy(np.floor), emit=intrinsic("floor")),
    Elementwise("ceil", 1, numpy(np.ceil), emit=intrinsic("ceil")),
    # half to even
    Elementwise("round", 1, numpy(np.round), emit=llvm("roundeven")),
    Elementwise("trunc", 1, numpy(np.trunc), emit=intrinsic("trunc")),
)
