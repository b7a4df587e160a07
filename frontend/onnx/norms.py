"""ONNX's normalisations and softmaxes. All but these are in float32 at least."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ..composites import math as composite
from ..composites import norms
from ..graph.emitter import MOST_ELEMENTS
from . import training
from .node import OnnxNode, Operator, Values


def _softmax(op: str, node: OnnxNode) -> int:
    """Before operator set 13 over all dimensions from ``axis`` on."""
    axis = node.attr("axis", -1 if node.opset >= 13 else 1)
    if node.opset >= 13 or axis in (-1, node.rank - 1):
        return node.t.emit(op, node.x, axis=node.axis(axis))
    flat = node.matrix(int(node.attr("axis", 1)))
    return node.t.reshape(node.t.emit(op, flat, axis=1), node.shape)


def _batch_normalization(node: OnnxNode) -> Values:
    """By the trained statistics, but in training mode."""
    if node.opset < 14 and node.outputs > 1:
        raise node.unsupported("training mode before operator set 14")
    if node.attr("training_mode", 0):
        return training.normalized_by_batch(node)
    if not node.attr("spatial", 1):
        raise node.unsupported("spatial=0")
    x, *statistics = (node.t.cast(value, node.wide) for value in node.every)
    y = norms.batch_norm(node.t, x, statistics, 1, node.attr("epsilon", 1e-5))
    return node.t.cast(y, node.dtype)


def _layer_normalization(node: OnnxNode) -> Values:
    """Mean and inverse deviation are results too, float32 even of doubles."""
    t, wide = node.t, node.wide
    axis, epsilon = node.axis(node.attr("axis", -1)), node.attr("epsilon", 1e-5)
    span, axes = node.shape[axis:], tuple(range(axis, node.rank))
    x = t.cast(node.x, wide)
    scale = _spread(node, node.given(1), span)
    shift = node.input(2)
    bias = t.constant(np.zeros(span, wide)) if shift is None else _spread(node, shift, span)
    y = t.cast(norms.layer_norm(t, x, scale, bias, axes, epsilon), node.dtype)
    if node.outputs < 2:
        return y
    mean = t.emit("mean", x, axes=axes, keepdims=True)
    variance = composite.variance(t, x, axes, keepdims=True)
    inverse = t.emit("rsqrt", t.emit("add", variance, t.number(epsilon, wide)))
    return y, t.cast(mean, "float32"), t.cast(inverse, "float32")


def _rms_normalization(node: OnnxNode) -> int:
    axis = node.axis(node.attr("axis", -1))
    x = node.t.cast(node.x, node.wide)
    scale = _spread(node, node.given(1), node.shape[axis:])
    axes = tuple(range(axis, node.rank))
    y = norms.rms_norm(node.t, x, scale, axes, node.attr("epsilon", 1e-5))
    return node.t.cast(y, node.dtype)


def _spread(node: OnnxNode, x: int, shape: tuple[int, ...]) -> int:
    return node.t.cast(node.t.broadcast(x, shape), node.wide)


def _group_normalization(node: OnnxNode) -> int:
    """As since operator set 21; ``strip_weights`` spells the older one by other operators."""
    groups, channels = node.attr("num_groups", 1), node.shape[1]
    if groups < 1 or channels % groups:
        raise node.unsupported(f"{groups} groups of {channels} channels")
    return _normalize_groups(node, groups)


def _normalize_groups(node: OnnxNode, groups: int) -> int:
    scale, shift = (node.t.cast(node.given(i), node.wide) for i in (1, 2))
    x = node.t.cast(node.x, node.wide)
    y = norms.group_norm(node.t, x, scale, shift, groups, node.attr("epsilon", 1e-5))
    return node.t.cast(y, node.dtype)


def _local_response_normalization(node: OnnxNode) -> int:
    """Krizhevsky et al. 2012; of an even number of neighbours, one more comes after."""
    t, x = node.t, node.x
    if node.rank < 3:
        raise node.unsupported("an input of less than 3 dimensions")
    size = node.attr("size", 1)
    if not 1 <= size <= MOST_ELEMENTS:
        raise node.unsupported(f"the size {size}")
    n, c, h, *rest = node.shape
    mean = t.reshape(t.emit("multiply", x, x), (n, c, h, math.prod(rest)))
    if size > 1:
        mean = t.emit("window_mean", mean, axis=1, size=size, before=(size - 1) // 2)
    scaled = t.emit("multiply", t.reshape(mean, node.shape), node.number(node.attr("alpha", 1e-4)))
    base = t.emit("add", scaled, node.number(node.attr("bias", 1.0)))
    return t.emit("divide", x, t.emit("power", base, node.number(node.attr("beta", 0.75))))


def _mean_variance_normalization(node: OnnxNode) -> int:
    """The variance about the mean, since the standard's formula cancels where the mean is large."""
    t = node.t
    if not node.element.is_float:
        raise node.unsupported(f"a mean of {node.dtype}")
    axes = node.axes(node.attr("axes", [a for a in (0, 2, 3) if a < node.rank]))
    mean = composite.reduce(t, "mean", node.x, axes, keepdims=True)
    centred = t.emit("subtract", node.x, mean)
    variance = composite.variance(t, node.x, axes, keepdims=True)
    spread = t.emit("add", t.emit("sqrt", variance), node.number(1e-9))
    return t.emit("divide", centred, spread)


OPERATORS: dict[str, Operator] = {
    "BatchNormalization": Operator(_batch_normalization),
    "GroupNormalization": Operator(_group_normalization),
    # A group a channel (Ulyanov et al. 2016).
    "InstanceNormalization": Operator(lambda node: _normalize_groups(node, node.shape[1])),
    "LRN": Operator(_local_response_normalization, in_steps=True),
    "LayerNormalization": Operator(_layer_normalization),
    "LogSoftmax": Operator(partial(_softmax, "log_softmax")),
    "MeanVarianceNormalization": Operator(_mean_variance_normalization, in_steps=True),
    "RMSNormalization": Operator(_rms_normalization),
    "Softmax": Operator(partial(_softmax, "softmax")),
}
