"""Whether what a library gives is what a case expects."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

RTOL, ATOL = 1e-3, 1e-5


def fault(given: Any, wanted: Any) -> str:
    """What is wrong with an output; "" where nothing is.

    Floats are within the tolerances, or within two steps of a type of fewer bits; all others,
    shapes and types are the same.
    """
    if isinstance(wanted, list) and isinstance(given, list) and len(given) == len(wanted):
        faults = (fault(ours, theirs) for ours, theirs in zip(given, wanted, strict=True))
        return next(filter(None, faults), "")
    if isinstance(wanted, list) or isinstance(given, list) or wanted is None or given is None:
        return "" if given is wanted is None else f"{_text(given)}, not {_text(wanted)}"
    ours, theirs = np.asarray(given), np.asarray(wanted)
    if theirs.dtype.kind in "OUS":
        same = ours.shape == theirs.shape and (ours.astype(str) == theirs.astype(str)).all()
        return "" if same else "other strings"
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        return f"{_type(ours)}, not {_type(theirs)}"
    far = _far(ours, theirs)
    return f"{int(far.sum())} of {far.size} elements differ" if far.any() else ""


def _far(ours: Any, theirs: Any) -> Any:
    """Which elements differ by too much."""
    try:
        info = ml_dtypes.finfo(ours.dtype)
    except ValueError:
        wide = np.int64 if ours.dtype.kind == "V" else ours.dtype
        return np.asarray(ours.astype(wide) != theirs.astype(wide))
    steps = 2 * float(info.eps) if info.bits < 32 else 0.0
    rtol, atol = max(RTOL, steps), max(ATOL, float(info.smallest_subnormal))
    with np.errstate(all="ignore"):
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        return ~np.isclose(a, b, rtol, atol, equal_nan=True)


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{len(value)} tensors" if isinstance(value, list) else _type(np.asarray(value))


def _type(array: Any) -> str:
    return f"{array.dtype}[{','.join(map(str, array.shape))}]"
