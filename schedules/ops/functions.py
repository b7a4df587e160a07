"""Functions of one real number."""

from __future__ import annotations

import math

import numpy as np

from ..tir import circular, doubles, mathfn
from ..tir.conversion import dtype_of
from ..tvm_late import tirx
from .emission import binding, fast, intrinsic, libm, llvm
from .numbers import costly, numpy
from .operator import Array, Elementwise, Expr, Let


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x), x.dtype)


def _rsqrt(x: Expr, let: Let) -> Expr:
    return tirx.const(1.0, dtype_of(x)) / tirx.sqrt(x)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _wide(dtype: str) -> bool:
    return dtype == "float64"


OPERATORS = (
    costly("exp", np.exp, fast(mathfn.exp, binding(doubles.exp))),
    costly("log", np.log, fast(mathfn.log, binding(doubles.log)), wants_positive=True),
    costly("sqrt", np.sqrt, wants_positive=True),
    costly("rsqrt", lambda x: 1 / np.sqrt(x), binding(_rsqrt), wants_positive=True),
    costly(
        "sigmoid", lambda x: 1 / (1 + np.exp(-x)), fast(mathfn.sigmoid, binding(doubles.sigmoid))
    ),
    costly("softplus", _softplus, fast(mathfn.softplus, binding(doubles.softplus))),
    costly("tanh", np.tanh, fast(mathfn.tanh, binding(doubles.tanh))),
    costly("erf", _erf, fast(mathfn.erf, binding(doubles.erf))),
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
