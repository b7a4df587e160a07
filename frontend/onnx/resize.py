"""Resize and Upsample: along each dimension, sums of elements that are known at build time.

An output element ``x`` of a dimension stands at ``source(x)`` of the input. Nearest takes the
element there; linear and cubic weigh the elements around it. So a dimension is resized by a table
of indices and one of weights, both [output, taps], and dimensions one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.schedules import Tensor

from ..composites import math as composite
from ..composites import movement
from ..graph import Array
from ..graph.emitter import MOST_ELEMENTS
from .node import OnnxNode, Operator
from .resize_method import (
    CROP,
    FIRST_WITH_COORDINATES,
    LONGEST,
    OFF_BY_A_HALF,
    POLICIES,
    TIE,
    Method,
)
from .resize_places import Line, Tap, matrix, taps

# A window of more elements than this is a product with a matrix, of so many elements at most.
_WINDOW, _MATRIX = 32, 1 << 24
# Whole numbers between which there may be others, and of which weights are multiples then.
_CUT, _EXACT = ("int8", "uint8", "int32"), 1 / 256


@dataclass(frozen=True)
class _Span:
    """One dimension: its sizes, their ratio as the model gives it, and the region of interest.

    The ratio is a float32, as the standard has it, and so are all numbers made with it: 10 times
    0.7 is 7, but in float64 it would be less. Where ``told`` it is the same for all sizes.
    """

    axis: int
    size: int
    out: int
    scale: np.float32
    roi: tuple[float, float] = (0.0, 1.0)
    told: bool = True


def _source(span: _Span, method: Method) -> Array:
    """Where each output element stands in the input, in float32, as other engines round too."""
    return _SOURCES[method.coordinates](span, np.arange(span.out, dtype=np.float32))


def _centre(span: _Span, x: Array) -> Array:
    return np.asarray((x + 0.5) / span.scale)


def _symmetric(span: _Span, x: Array) -> Array:
    """In float64 until the end, in any engine."""
    offset = np.float64(span.size / 2 * (1 - span.out / (span.scale * span.size)))
    return np.asarray(offset + (x + 0.5) / np.float64(span.scale) - 0.5).astype(np.float32)


def _cropped(span: _Span, x: Array) -> Array:
    (start, end), last = map(np.float32, span.roi), np.float32(span.size - 1)
    if span.out == 1:
        return 0 * x + np.float32(0.5 * float(start + end) * float(last))
    return np.asarray(start * last + x * (end - start) * last / np.float32(span.out - 1))


_SOURCES: dict[str, Callable[[_Span, Array], Array]] = {
    "half_pixel": lambda s, x: _centre(s, x) - 0.5,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda s, x: _centre(s, x) - 0.5 if s.out > 1 else 0 * x,
    "tf_half_pixel_for_nn": _centre,
    "align_corners": lambda s, x: x * (s.size - 1) / (s.out - 1) if s.out > 1 else 0 * x,
    "asymmetric": lambda s, x: x / s.scale,
    CROP: _cropped,
}


def _table(span: _Span, method: Method) -> tuple[Array, Array]:
    """Indices and weights, [output, taps]; indices beyond the ends are the last element's."""
    source = _source(span, method)
    if method.mode == "nearest":
        indices = _nearest(source, method.nearest, float(span.scale))[:, None]
        weights = np.ones_like(indices)
    else:
        first, linear = np.floor(source), method.mode == "linear"
        narrow = min(float(span.scale), 1.0) if method.antialias else 1.0
        reach = math.ceil((1 if linear else 2) / narrow)
        indices = first[:, None] + np.arange(1 - reach, reach + 1)
        distance = np.abs(indices - source[:, None]) * narrow
        weights = np.maximum(1 - distance, 0) if linear else _cubic(distance, method.cubic_a)
        if method.exclude_outside:
            weights = np.where((indices < 0) | (indices >= span.size), 0, weights)
        if method.exclude_outside or method.antialias:
            weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(indices, 0, span.size - 1).astype(np.int64), weights


def _nearest(source: Array, rule: str, scale: float) -> Array:
    """The element at each place, by one of the standard's rules.

    Operator sets before 11 have none; as in ONNX Runtime an image that shrinks takes the ``ceil``.
    """
    exact = source.astype(np.float64)
    if rule in ("round_prefer_floor", "round_prefer_ceil"):
        below = np.floor(exact)
        part = np.where(np.abs(exact - below - 0.5) < TIE, 0.5, exact - below)
        up = part > 0.5 if rule == "round_prefer_floor" else part >= 0.5
        return np.asarray(below + up)
    ceil = rule == "ceil" or (rule == "simple" and scale < 1)
    return np.asarray(np.ceil(exact) if ceil else np.floor(exact))


def _cubic(distance: Array, a: float) -> Array:
    """Keys 1981."""
    d = distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _resized(node: OnnxNode, x: int, span: _Span, method: Method) -> int:
    t = node.t
    scale = float(span.scale) if span.told else None
    line = Line(span.axis, node.rank, span.size, span.out, scale)
    if t.across.compute and (found := taps(t, line, method)):
        return _computed(node, x, span, found)
    if t.across.compute and method.antialias:
        _check_matrix(node, span)
        if (weights := matrix(t, line, method)) is not None:
            return _by_matrix(node, x, span, weights)
    indices, factors = _table(span, method)
    used = [tap for tap in range(factors.shape[1]) if np.any(factors[:, tap])]
    if len(used) > _WINDOW:
        _check_matrix(node, span)
        table = np.zeros((span.size, span.out))
        np.add.at(table, (indices, np.arange(span.out)[:, None]), factors)
        return _by_matrix(node, x, span, t.constant(table.astype(t.dtype(x))))
    total = None
    dtype = t.dtype(x)
    shape = [-1 if i == span.axis else 1 for i in range(node.rank)]
    for tap in used:
        part = movement.take(t, x, t.constant(indices[:, tap]), span.axis)
        if not np.all(factors[:, tap] == 1):
            weight = factors[:, tap].astype(dtype).reshape(shape)
            part = t.emit("multiply", part, t.constant(weight))
        total = part if total is None else t.emit("add", total, part)
    assert total is not None
    return total


def _computed(node: OnnxNode, x: int, span: _Span, found: Sequence[Tap]) -> int:
    """The same, of elements and weights that a run computes."""
    t, total = node.t, None
    for tap in found:
        part = movement.take(t, x, tap.places, span.axis)
        if tap.weights is not None:
            part = t.emit("multiply", part, t.cast(tap.weights, t.dtype(x)))
        total = part if total is None else t.emit("add", total, part)
    assert total is not None
    return total


def _by_matrix(node: OnnxNode, x: int, span: _Span, weights: int) -> int:
    """Wide windows, of an antialiased image that shrinks a lot, or by as much as sizes say."""
    t = node.t
    order = [i for i in range(node.rank) if i != span.axis] + [span.axis]
    last = t.transpose(x, order)
    product = composite.matmul(t, last, t.cast(weights, t.dtype(x)))
    return t.transpose(product, [int(i) for i in np.argsort(order)])


def _check_matrix(node: OnnxNode, span: _Span) -> None:
    if span.size * span.out > _MATRIX:
        raise node.unsupported(f"{span.size} to {span.out} elements by windows this wide")


def _resize(node: OnnxNode) -> int:
    """``scales`` or ``sizes`` of all dimensions, or of those in ``axes``."""
    if node.opset < FIRST_WITH_COORDINATES:
        return _upsample(node)
    method = Method.of(node.attr, node.opset)
    axes = node.axes(node.attr("axes", range(node.rank)))
    spans = _given_spans(node, axes)
    if method.coordinates == CROP:
        roi = node.constant(1, "a region of interest")
        if roi is None or roi.size != 2 * len(axes):
            raise node.unsupported("this region of interest")
        pairs = roi.reshape(2, -1).T.tolist()
        spans = [replace(s, roi=tuple(p)) for s, p in zip(spans, pairs, strict=True)]
    return _resize_all(node, spans, method)


def _given_spans(node: OnnxNode, axes: list[int]) -> list[_Span]:
    scales, sizes = node.constant(2, "a scale"), node.constant(3, "a size")
    inside = [node.shape[a] for a in axes]
    ratios = False  # whether the scales are those of the sizes
    if scales is not None and scales.size == len(axes):
        factors = [np.float32(s) for s in scales]
        outs = [scaled_size(d, s) for d, s in zip(inside, factors, strict=True)]
    elif sizes is not None and sizes.size == len(axes):
        outs, ratios = [int(s) for s in sizes], True
        factors = [np.float32(o) / np.float32(d) for o, d in zip(outs, inside, strict=True)]
        policy = node.attr("keep_aspect_ratio_policy", "stretch")
        if policy not in POLICIES:
            raise node.unsupported(f"the policy '{policy}'")
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(axes)
            ratios = False
            outs = [_whole(factor * np.float32(d) + np.float32(0.5)) for d in inside]
    else:
        raise node.unsupported("a resize without a scale or size for each dimension")
    spans = zip(axes, inside, outs, factors, strict=True)
    return [_Span(*span, told=not ratios) for span in spans]


def scaled_size(size: int, scale: np.float32) -> int:
    """The size of a result; -1 where it is not finite."""
    with np.errstate(over="ignore"):
        return _whole(np.float32(size) * np.float32(scale))


def _whole(size: np.float32) -> int:
    return math.floor(size) if math.isfinite(size) else -1


def _upsample(node: OnnxNode) -> int:
    """Upsample, and Resize before operator set 11."""
    scales = node.setting("scales", 1)
    if scales is None or scales.size != node.rank:
        raise node.unsupported("a resize without a scale for each dimension")
    method = Method.of(node.attr, node.opset)
    spans = [
        _Span(i, d, scaled_size(d, np.float32(s)), np.float32(s))
        for i, (d, s) in enumerate(zip(node.shape, scales, strict=True))
    ]
    return _resize_all(node, spans, method)


def _resize_all(node: OnnxNode, spans: list[_Span], method: Method) -> int:
    """Between whole numbers in float32, cut, as in ONNX Runtime: where their weights are exact, so
    that roundings decide nothing."""
    t, moved = node.t, [s for s in spans if not _stays(node, s, method)]
    is_cut = method.mode == "linear" and not method.antialias and node.dtype in _CUT
    tensor = replace(t.type(node.x), dtype="float32") if is_cut else t.type(node.x)
    _check(node, tensor, spans, method)
    if all(s.out == s.size and (s.told or s not in moved) for s in spans):
        return node.x  # as in ONNX Runtime, though a scale of 1.1 of 2 elements would move them
    if not is_cut:
        return _moved(node, node.x, moved, method)
    if any(np.any(_table(span, method)[1] % _EXACT) for span in moved):
        raise node.unsupported(f"interpolation of {node.dtype} by weights that are not exact")
    return t.cast(_moved(node, t.cast(node.x, "float32"), moved, method), node.dtype)


def _stays(node: OnnxNode, span: _Span, method: Method) -> bool:
    """Whether a dimension is as it was: as in ONNX Runtime, whatever the region of interest. Where
    it is so at some sizes alone, runs compute for these, too, where they find just that."""
    is_as_it_was = bool(span.scale == 1)
    finds_that = not span.told and method.coordinates not in (OFF_BY_A_HALF, CROP)
    if not (node.t.across.compute and finds_that):
        return is_as_it_was
    return not node.t.across.moves((node.label, span.axis), here=not is_as_it_was)


def _moved(node: OnnxNode, x: int, spans: list[_Span], method: Method) -> int:
    """The elements of ``x`` along all dimensions."""
    inside = None
    for span in spans:
        x = _resized(node, x, span, method)
        if method.coordinates == CROP:
            source = _source(span, method)
            within = (source >= 0) & (source <= span.size - 1)
            shape = [-1 if i == span.axis else 1 for i in range(node.rank)]
            inside = within.reshape(shape) if inside is None else inside & within.reshape(shape)
    if inside is None or np.all(inside):
        return x
    fill = node.t.number(node.attr("extrapolation_value", 0.0), node.t.dtype(x))
    return node.t.emit("where", node.t.constant(inside), x, fill)


def _check(node: OnnxNode, tensor: Tensor, spans: list[_Span], method: Method) -> None:
    """Raise UnsupportedOperator for what is refused, before anything is computed."""
    refused = method.refused(tensor)
    if refused:
        raise node.unsupported(refused)
    for span in spans:
        if not 0 < span.scale < math.inf:
            raise node.unsupported(f"the scale {span.scale}")
        if not 1 <= span.out <= LONGEST:
            raise node.unsupported(f"a size of {span.out}")
    sizes = dict(enumerate(node.shape)) | {span.axis: span.out for span in spans}
    if math.prod(sizes.values()) > MOST_ELEMENTS:
        raise node.unsupported(f"a result of the shape {list(sizes.values())}")


OPERATORS: dict[str, Operator] = {
    "Resize": Operator(_resize, build_time=(1, 2, 3), in_steps=True),
    "Upsample": Operator(_upsample, build_time=(1,), in_steps=True),
}
