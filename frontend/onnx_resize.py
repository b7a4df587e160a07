"""Resize and Upsample: along each dimension, sums of elements that are known at build time.

An output element ``x`` of a dimension stands at ``source(x)`` of the input. Nearest takes the
element there; linear and cubic weigh the elements around it. So a dimension is resized by a table
of indices and one of weights, both [output, taps], and dimensions one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax

from .graph import Array
from .onnx_node import OnnxConverter, OnnxNode


@dataclass(frozen=True)
class _Span:
    """One dimension: its sizes, their ratio as the model gives it, and the region of interest."""

    axis: int
    size: int
    out: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class _Method:
    """The node's attributes."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    exclude_outside: bool
    antialias: bool


def _source(span: _Span, method: _Method) -> Array:
    """Where each output element stands in the input, in float32, as other engines round too."""
    x = np.arange(span.out, dtype=np.float32)
    size, out, scale = span.size, span.out, np.float32(span.scale)
    centre = (x + 0.5) / scale - 0.5
    adjusted = out / (scale * size)
    forms: dict[str, Callable[[], Array]] = {
        "half_pixel": lambda: centre,
        "half_pixel_symmetric": lambda: size / 2 * (1 - adjusted) + centre,
        "pytorch_half_pixel": lambda: centre if out > 1 else 0 * x,
        "tf_half_pixel_for_nn": lambda: centre + 0.5,
        "align_corners": lambda: x * (size - 1) / (out - 1) if out > 1 else 0 * x,
        "asymmetric": lambda: x / scale,
        "tf_crop_and_resize": lambda: _cropped(span, x),
    }
    if method.coordinates not in forms:
        raise KeyError(method.coordinates)
    return forms[method.coordinates]()


def _cropped(span: _Span, x: Array) -> Array:
    start, end = span.roi
    if span.out == 1:
        return 0 * x + np.float32(0.5 * (start + end) * (span.size - 1))
    return start * (span.size - 1) + x * (end - start) * (span.size - 1) / (span.out - 1)


def _table(span: _Span, method: _Method) -> tuple[Array, Array]:
    """Indices and weights, [output, taps]; indices beyond the ends are the last element's."""
    source = _source(span, method)
    if method.mode == "nearest":
        rounded = {
            "round_prefer_floor": np.ceil(source - 0.5),
            "round_prefer_ceil": np.floor(source + 0.5),
            "floor": np.floor(source),
            "ceil": np.ceil(source),
        }[method.nearest]
        indices = rounded[:, None]
        weights = np.ones_like(indices)
    else:
        first = np.floor(source)
        narrow = min(span.scale, 1.0) if method.antialias else 1.0
        reach = math.ceil((1 if method.mode == "linear" else 2) / narrow)
        indices = first[:, None] + np.arange(1 - reach, reach + 1)
        distance = np.abs(indices - source[:, None]) * narrow
        weights = _linear(distance) if method.mode == "linear" else _cubic(distance, method.cubic_a)
        if method.exclude_outside:
            weights = np.where((indices < 0) | (indices >= span.size), 0, weights)
        if method.exclude_outside or method.antialias:
            weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(indices, 0, span.size - 1).astype(np.int64), weights


def _linear(distance: Array) -> Array:
    return np.asarray(np.maximum(1 - distance, 0))


def _cubic(distance: Array, a: float) -> Array:
    """Keys 1981."""
    d = distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _resized(node: OnnxNode, x: Any, span: _Span, method: _Method) -> Any:
    indices, weights = _table(span, method)
    used = [t for t in range(weights.shape[1]) if np.any(weights[:, t])]
    total = None
    shape = [-1 if i == span.axis else 1 for i in range(node.rank)]
    for tap in used:
        part = relax.op.take(x, relax.const(indices[:, tap], "int64"), axis=span.axis)
        if not np.all(weights[:, tap] == 1):
            weight = weights[:, tap].astype(node.dtype).reshape(shape)
            part = relax.op.multiply(part, relax.const(weight, node.dtype))
        total = part if total is None else relax.op.add(total, part)
    return node.emit(total)


def _resize(node: OnnxNode) -> Any:
    """``scales`` or ``sizes`` of all dimensions, or of those in ``axes``."""
    if node.opset < 11:
        return _upsample(node)
    method = _Method(
        node.attr("mode", "nearest"),
        node.attr("coordinate_transformation_mode", "half_pixel"),
        node.attr("nearest_mode", "round_prefer_floor"),
        node.attr("cubic_coeff_a", -0.75),
        bool(node.attr("exclude_outside", 0)),
        bool(node.attr("antialias", 0)),
    )
    axes = [int(a) % node.rank for a in node.attr("axes", tuple(range(node.rank)))]
    spans = _given_spans(node, axes)
    if method.coordinates == "tf_crop_and_resize":
        roi = node.constant(1, "a region of interest")
        if roi is None or roi.size != 2 * len(axes):
            raise node.unsupported("this region of interest")
        pairs = roi.reshape(2, -1).T
        spans = [
            _Span(s.axis, s.size, s.out, s.scale, (float(a), float(b)))
            for s, (a, b) in zip(spans, pairs, strict=True)
        ]
    return _resize_all(node, spans, method)


def _given_spans(node: OnnxNode, axes: list[int]) -> list[_Span]:
    scales, sizes = node.constant(2, "a scale"), node.constant(3, "a size")
    inside = [node.shape[a] for a in axes]
    if scales is not None and scales.size == len(axes):
        factors = [float(s) for s in scales]
        outs = [math.floor(d * s) for d, s in zip(inside, factors, strict=True)]
    elif sizes is not None and sizes.size == len(axes):
        outs = [int(s) for s in sizes]
        factors = [o / d for o, d in zip(outs, inside, strict=True)]
        policy = node.attr("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(axes)
            outs = [math.floor(d * factor + 0.5) for d in inside]
    else:
        raise node.unsupported("a resize without a scale or size for each dimension")
    return [_Span(*s) for s in zip(axes, inside, outs, factors, strict=True)]


def _upsample(node: OnnxNode) -> Any:
    """Upsample, and Resize before operator set 11."""
    scales = node.setting("scales", 1)
    if scales is None or scales.size != node.rank:
        raise node.unsupported("a resize without a scale for each dimension")
    mode = node.attr("mode", "nearest")
    method = _Method(mode, "asymmetric", "floor", -0.75, False, False)
    spans = [
        _Span(i, d, math.floor(d * float(s)), float(s))
        for i, (d, s) in enumerate(zip(node.shape, scales, strict=True))
    ]
    return _resize_all(node, spans, method)


def _resize_all(node: OnnxNode, spans: list[_Span], method: _Method) -> Any:
    if method.mode not in ("nearest", "linear", "cubic"):
        raise node.unsupported(f"the mode '{method.mode}'")
    if method.mode != "nearest" and not node.dtype.startswith("float"):
        raise node.unsupported(f"interpolation of {node.dtype}")
    if any(span.out < 1 for span in spans):
        raise node.unsupported("a size of 0")
    x, inside = node.x, None
    for span in spans:
        if span.out == span.size and span.scale == 1 and span.roi == (0.0, 1.0):
            continue
        x = _resized(node, x, span, method)
        if method.coordinates == "tf_crop_and_resize":
            source = _source(span, method)
            within = (source >= 0) & (source <= span.size - 1)
            shape = [-1 if i == span.axis else 1 for i in range(node.rank)]
            inside = within.reshape(shape) if inside is None else inside & within.reshape(shape)
    if inside is None or np.all(inside):
        return x
    fill = node.number(node.attr("extrapolation_value", 0.0))
    return relax.op.where(relax.const(inside), x, fill)


CONVERTERS: dict[str, OnnxConverter] = {"Resize": _resize, "Upsample": _upsample}
