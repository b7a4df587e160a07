"""Where the standard leaves a result open, or an engine may trap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .values import Array


def defined(node: onnx.NodeProto, args: Sequence[Array | None]) -> bool:
    """Whether the standard says what the node gives for these inputs, and no engine may trap."""
    given = [a for a in args if a is not None]
    rule = _RULES.get(node.op_type)
    return rule is None or rule(node, given)


def _divisible(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    x, y = given
    if x.dtype.kind == "f":
        return True
    lowest = x.dtype.kind == "i" and bool((x == np.iinfo(x.dtype).min).any())
    return not (y == 0).any() and not (lowest and bool((y == -1).any()))


def _cast(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    to = next(a.i for a in node.attribute if a.name == "to")
    return _castable(given[0], helper.tensor_dtype_to_np_dtype(to))


def _cast_like(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    return _castable(given[0], given[1].dtype)


def _castable(x: Array, to: np.dtype[Any]) -> bool:
    """Whole numbers hold neither NaN nor what is beyond their type's range."""
    if x.dtype.kind != "f" or to.kind not in "iu":
        return True
    info, cut = np.iinfo(to), np.trunc(x.astype(np.float64))
    low, high = float(info.min), float(info.max) + (1 if info.bits < 64 else 0)
    return bool((np.isfinite(cut) & (cut >= low) & (cut < high)).all())


def _class_numbers(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    x = given[0]
    return bool((np.abs(x.astype(np.float64)) < 1e6).all() and (x == np.round(x)).all())


def _ordered(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    return not np.isnan(given[0]).any()


def _small(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """The references compute integers in floats, where there are factors or means."""
    return all(a.dtype.kind == "f" or bool((np.abs(a.astype(float)) < 1e3).all()) for a in given)


def _finite(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """Sums by what comes in and goes out, and neighbours that weigh 0, make NaN of others."""
    return bool(np.isfinite(given[0]).all())


def _weighted(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """An infinite weight makes NaN of the padding, where it is not left out."""
    return bool(np.isfinite(given[1]).all())


def _varied(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """ONNX Runtime scales numbers before it takes their mean away: of equal ones, noise is left."""
    x = given[0].astype(np.float64)
    axes = tuple(range(2, x.ndim))
    with np.errstate(all="ignore"):
        spread = np.abs(x - x.mean(axis=axes, keepdims=True)).max(axis=axes)
        return not (spread < 1e-3 * np.abs(x).max(axis=axes)).any()


def _quantisable(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    return bool((np.abs(given[0].astype(np.float64)) < 1e6).all())


_RULES: Mapping[str, Callable[[onnx.NodeProto, Sequence[Array]], bool]] = {
    "Div": _divisible,
    "Mod": _divisible,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Conv": _weighted,
    "Gemm": _small,
    "GridSample": _finite,
    "ReduceMean": _small,
    "ReduceSumSquare": _small,
    "Hardmax": _ordered,
    "LRN": _finite,
    "InstanceNormalization": _varied,
    "OneHot": _class_numbers,
    "QuantizeLinear": _quantisable,
}
