"""Conversions to and from types of few bits, composed of the graph's operators."""

from __future__ import annotations

import numpy as np

from luthier.schedules import Tensor
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.ir.formats import FORMATS
from luthier.schedules.tir.casts import cast

from ..graph.emitter import Emitter
from . import math

EXPONENTS = "float8_e8m0fnu"
_SATURATED = frozenset(name for name in FORMATS if name.startswith("float8"))


def saturated(t: Emitter, x: int, dtype: str) -> int:
    """A cast; what is beyond the numbers of a float of 8 bits becomes the last of them."""
    if dtype not in _SATURATED or t.dtype(x) == dtype:
        return t.cast(x, dtype)
    most = largest(dtype)
    return t.cast(math.clip(t, t.cast(x, "float32"), -most, most), dtype)


def exponents(t: Emitter, x: int, rounding: str, *, limit: bool) -> int:
    """Powers of two: what is between two of them goes ``up`` (away from zero), ``down`` or to the
    ``nearest``; with ``limit`` no number becomes NaN."""
    if t.dtype(x) == EXPONENTS:
        return x
    wide = t.cast(x, "float32")
    out = Tensor(t.shape(x), EXPONENTS)
    return t.emit("cast", wide, out=out, rounding=rounding, limit=limit)


def largest(dtype: str) -> float:
    """The largest number of a narrow float."""
    bits = np.array(FORMATS[dtype].largest, DTYPES[dtype].storage)
    return float(cast(bits.view(DTYPES[dtype].numpy), "float32"))
