"""Functions of one real number."""

from __future__ import annotations

import math

import numpy as np

from ..tir import mathfn
from ..tir.conversion import dtype_of
from ..tvm_late import tirx
from .emission import binding, fast, intrinsic, libm
from .numbers import costly, numpy
from .operator import Array, Elementwise, Expr, Let, always


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x), x.dtype)


def _rsqrt(x: Expr, let: Let) -> Expr:
    return tirx.const(1.0, dtype_of(x)) / tirx.sqrt(x)


def _wide(dtype: str) -> bool:
    return dtype == "float64"


OPERATORS = (
    costly("exp", np.exp, fast(mathfn.exp, intrinsic("exp"))),
    costly("log", np.log, fast(mathfn.log, intrinsic("log")), wants_positive=True),
    costly("sqrt", np.sqrt, wants_positive=True),
    costly("rsqrt", lambda x: 1 / np.sqrt(x), binding(_rsqrt), wants_positive=True),
    costly("sigmoid", lambda x: 1 / (1 + np.exp(-x)), fast(mathfn.sigmoid, intrinsic("sigmoid"))),
    costly("tanh", np.tanh, fast(mathfn.tanh, libm("tanh")), _wide),
    costly("erf", _erf, fast(mathfn.erf, intrinsic("erf")), _wide),
    costly("sin", np.sin),
    costly("cos", np.cos),
    costly("tan", np.tan),
    costly("sinh", np.sinh, libm("sinh"), always),
    costly("cosh", np.cosh, libm("cosh"), always),
    costly("asin", np.arcsin, by_lane=always),
    costly("acos", np.arccos, by_lane=always),
    costly("atan", np.arctan, by_lane=always),
    costly("asinh", np.arcsinh, by_lane=always),
    costly("acosh", np.arccosh, by_lane=always, wants_positive=True),
    costly("atanh", np.arctanh, libm("atanh"), always),
    Elementwise("floor", 1, numpy(np.floor), emit=intrinsic("floor")),
    Elementwise("ceil", 1, numpy(np.ceil), emit=intrinsic("ceil")),
    # half to even
    Elementwise("round", 1, numpy(np.round), emit=intrinsic("nearbyint"), by_lane=always),
    Elementwise("trunc", 1, numpy(np.trunc), emit=intrinsic("trunc")),
)
