"""Where the standard leaves a result open, or an engine may trap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .values import Array


def defined(node: onnx.NodeProto, args: Sequence[Array | None]) -> bool:
    """Whether the standard says what the node gives for these inputs, and no engine may trap."""
    given = [a for a in args if a is not None]
    if not given:
        return True
    x = given[0]
    whole = x.dtype.kind in "iu"
    if node.op_type in ("Div", "Mod") and whole:
        lowest = x.dtype.kind == "i" and bool((x == np.iinfo(x.dtype).min).any())
        return not (given[1] == 0).any() and not (lowest and bool((given[1] == -1).any()))
    if node.op_type == "Cast":
        return _castable(x, helper.tensor_dtype_to_np_dtype(node.attribute[0].i))
    if node.op_type == "CastLike":
        return _castable(x, given[1].dtype)
    if node.op_type in ("QuantizeLinear", "OneHot") and x.dtype.kind == "f":
        return bool(np.isfinite(x).all() and (np.abs(x) < 1e6).all())
    return True


def _castable(x: Array, to: np.dtype[Any]) -> bool:
    """Whole numbers hold neither NaN nor what is beyond their type's range."""
    if x.dtype.kind != "f" or to.kind not in "iu":
        return True
    info, cut = np.iinfo(to), np.trunc(x.astype(np.float64))
    low, high = float(info.min), float(info.max) + (1 if info.bits < 64 else 0)
    return bool((np.isfinite(cut) & (cut >= low) & (cut < high)).all())
