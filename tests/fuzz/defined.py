"""Where the standard leaves a result open, or an engine may trap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .values import Array

# Of nothing these are not a number, or 0.
_MEANS = frozenset(
    """
        AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization
        InstanceNormalization LayerNormalization LpPool MaxPool MeanVarianceNormalization
        RMSNormalization ReduceMean
    """.split()
)


def defined(node: onnx.NodeProto, args: Sequence[Array | None]) -> bool:
    """Whether the standard says what the node gives for these inputs, and no engine may trap."""
    given = [a for a in args if a is not None]
    if node.op_type in _MEANS and any(a.size == 0 for a in given):
        return False
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


def _lengths(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """Of sequences: one for each, none longer than there are steps, and a state for each, which
    onnx's evaluator does not check."""
    attrs = {a.name: a.i for a in node.attribute}
    last = attrs.get("time_axis", 0) == 1 or attrs.get("layout", 0) == 1
    batch, steps = given[0].shape[:2] if last else given[0].shape[1::-1]
    wanted = np.int64 if node.op_type == "ReverseSequence" else np.int32
    states = [a.shape for a in given[3:] if a.ndim == 3]
    if any(shape != (given[1].shape[0], batch, given[2].shape[-1]) for shape in states):
        return False
    return all(
        a.shape == (batch,) and bool(((a >= 0) & (a <= steps)).all())
        for a in given[1:]
        if a.dtype == wanted
    )


def _covered(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """Windows that are put in the middle and do not reach the ends begin at one, or between."""
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if not attrs.get("auto_pad", b"").startswith(b"SAME"):
        return True
    kernel, ones = attrs["kernel_shape"], [1] * len(attrs["kernel_shape"])
    sides = zip(
        given[0].shape[2:],
        kernel,
        attrs.get("strides") or ones,
        attrs.get("dilations") or ones,
        strict=True,
    )
    return all((-(-n // s) - 1) * s + (k - 1) * d + 1 >= n for n, k, s, d in sides)


def _divides(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """Onnx's evaluator, alone, takes parts that are not the whole."""
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    parts = attrs["split"] if "split" in attrs else given[1] if len(given) > 1 else None
    return parts is None or int(np.sum(parts)) == given[0].shape[attrs.get("axis", 0)]


def _within(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """A condition that is longer than what it chooses of has no meaning."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), None)
    x, condition = given
    return condition.size <= (x.size if axis is None else x.shape[axis])


def _all_finite(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """Squares are taken from each other."""
    return all(np.isfinite(a).all() for a in given)


def _skips(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """What is added is no larger than what it is added to, which ONNX Runtime does not check."""
    x, skip = (a.shape[-len(given[1].shape) :] for a in given[:2])
    return all(n in (1, m) for m, n in zip(x, skip, strict=True))


def _scored(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """Each box has a score, which engines do not check."""
    boxes, scores = given[:2]
    return boxes.shape[:2] == (scores.shape[0], scores.shape[2])


def _indexed(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """Onnx's evaluator, alone, goes around the end."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    size, places = given[0].shape[axis], given[1]
    return bool(((places >= -size) & (places < size)).all())


def _scattered(node: onnx.NodeProto, given: Sequence[Array]) -> bool:
    """Of NaN and other numbers that meet at a place, the order decides what engines keep."""
    reduction = next((a.s for a in node.attribute if a.name == "reduction"), b"")
    x, _, updates = given
    meets = reduction in (b"min", b"max") and x.dtype.kind == "f"
    if meets and (np.isnan(x).any() or np.isnan(updates).any()):
        return False
    return node.op_type == "ScatterND" or _indexed(node, given)


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
    **dict.fromkeys(("GRU", "LSTM", "RNN", "ReverseSequence"), _lengths),
    "RoiAlign": _finite,
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), _covered),
    "Split": _divides,
    "CDist": _all_finite,
    "Compress": _within,
    **dict.fromkeys(("Gather", "GatherElements"), _indexed),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), _scattered),
    "NonMaxSuppression": _scored,
    "SkipLayerNormalization": _skips,
    "SkipSimplifiedLayerNormalization": _skips,
    "InstanceNormalization": _varied,
    "OneHot": _class_numbers,
    "QuantizeLinear": _quantisable,
}
