"""Functions of one real number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..tir import mathfn
from ..tir.conversion import dtype_of
from ..tvm_late import tirx
from .emission import fast, intrinsic, libm
from .numbers import numpy
from .operator import Array, Elementwise, Emit, always, never


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x), x.dtype)


def _rsqrt() -> Emit:
    return lambda node, args, dtypes, let: tirx.const(1.0, dtype_of(args[0])) / tirx.sqrt(args[0])


def _wide(dtype: str) -> bool:
    return dtype == "float64"


def _costly(
    name: str,
    evaluate: Callable[[Array], Any],
    emit: Emit | None = None,
    by_lane: Callable[[str], bool] = never,
    wants_positive: bool = False,
) -> Elementwise:
    return Elementwise(
        name,
        1,
        numpy(evaluate),
        emit=emit or intrinsic(name),
        is_costly=True,
        by_lane=by_lane,
        wants_positive=wants_positive,
    )


OPERATORS = (
    _costly("exp", np.exp, fast(mathfn.exp, intrinsic("exp"))),
    _costly("log", np.log, fast(mathfn.log, intrinsic("log")), wants_positive=True),
    _costly("sqrt", np.sqrt, wants_positive=True),
    _costly("rsqrt", lambda x: 1 / np.sqrt(x), _rsqrt(), wants_positive=True),
    _costly("sigmoid", lambda x: 1 / (1 + np.exp(-x)), fast(mathfn.sigmoid, intrinsic("sigmoid"))),
    _costly("tanh", np.tanh, fast(mathfn.tanh, libm("tanh")), _wide),
    _costly("erf", _erf, fast(mathfn.erf, intrinsic("erf")), _wide),
    _costly("sin", np.sin),
    _costly("cos", np.cos),
    _costly("tan", np.tan),
    _costly("sinh", np.sinh, libm("sinh"), always),
    _costly("cosh", np.cosh, libm("cosh"), always),
    _costly("asin", np.arcsin, by_lane=always),
    _costly("acos", np.arccos, by_lane=always),
    _costly("atan", np.arctan, by_lane=always),
    _costly("asinh", np.arcsinh, by_lane=always),
    _costly("acosh", np.arccosh, by_lane=always, wants_positive=True),
    _costly("atanh", np.arctanh, libm("atanh"), always),
    Elementwise("floor", 1, numpy(np.floor), emit=intrinsic("floor")),
    Elementwise("ceil", 1, numpy(np.ceil), emit=intrinsic("ceil")),
    Elementwise(  # half to even
        "round", 1, numpy(np.round), emit=intrinsic("nearbyint"), by_lane=always
    ),
    Elementwise("trunc", 1, numpy(np.trunc), emit=intrinsic("trunc")),
)
