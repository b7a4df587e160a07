"""Converters of our own for ONNX network layers that TVM's importer refuses or gets wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import relax

from .onnx_node import OnnxConverter, OnnxNode, dtype_of, shape_of

_POOLS = ("MaxPool", "AveragePool")


def explicit_padding(op: str, node: OnnxNode) -> dict[str, Any]:
    """The node's attributes with ``pads`` in place of ``auto_pad`` and ``output_shape``."""
    attrs = dict(node.attrs)
    mode = node.attr("auto_pad", "NOTSET")
    attrs.pop("auto_pad", None)
    spatial = node.shape[2:]
    kernel = attrs.get("kernel_shape")
    if kernel is None:
        kernel = shape_of(node.input(1))[2:]
    strides = attrs.get("strides", (1,) * len(spatial))
    dilations = attrs.get("dilations", (1,) * len(spatial))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if op == "ConvTranspose":
        return attrs | _transposed_padding(node, mode, spatial, spans, strides)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        places = [math.ceil(d / s) for d, s in zip(spatial, strides, strict=True)]
        total = [
            max((o - 1) * s + k - d, 0)
            for o, s, k, d in zip(places, strides, spans, spatial, strict=True)
        ]
        attrs |= {"pads": _halves(total, mode == "SAME_UPPER")}
    elif mode == "VALID":
        attrs |= {"pads": (0,) * (2 * len(spatial))}
    if mode != "NOTSET" and op in _POOLS:
        attrs["ceil_mode"] = 0
    return attrs


def _transposed_padding(
    node: OnnxNode, mode: str, spatial: Any, spans: list[int], strides: Any
) -> dict[str, Any]:
    """``output_shape``, or ``auto_pad``'s input times stride, tell how much is cut off."""
    extra = list(node.attr("output_padding", (0,) * len(spatial)))
    wanted = node.attr("output_shape", None)
    if wanted is not None:
        wanted = wanted[-len(spatial) :]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [d * s for d, s in zip(spatial, strides, strict=True)]
    if wanted is None:
        return {"pads": (0,) * (2 * len(spatial))} if mode == "VALID" else {}
    full = [(d - 1) * s + k for d, s, k in zip(spatial, strides, spans, strict=True)]
    cut = [f + e - w for f, e, w in zip(full, extra, wanted, strict=True)]
    more = [e + max(-c, 0) for e, c in zip(extra, cut, strict=True)]
    pads = _halves([max(c, 0) for c in cut], mode == "SAME_UPPER")
    return {"pads": pads, "output_padding": tuple(more)}


def _halves(total: list[int], upper: bool) -> tuple[int, ...]:
    """Pads before and after; the larger half comes last for ``upper``."""
    before = [t // 2 if upper else t - t // 2 for t in total]
    return (*before, *(t - b for t, b in zip(total, before, strict=True)))


def _batch_normalization(node: OnnxNode) -> Any:
    """By the trained statistics, in float32 at least."""
    if node.attr("training_mode", 0) or (node.opset < 14 and node.outputs > 1):
        raise node.unsupported("training mode")
    if not node.attr("spatial", 1):
        raise node.unsupported("spatial=0")
    wide = "float64" if node.dtype == "float64" else "float32"
    args = [x if dtype_of(x) == wide else relax.op.astype(x, wide) for x in node.inputs]
    epsilon = node.attr("epsilon", 1e-5)
    result = node.emit(relax.op.nn.batch_norm(*args, axis=1, epsilon=epsilon, training=False))
    y = node.emit(relax.TupleGetItem(result, 0))
    return y if node.dtype == wide else relax.op.astype(y, node.dtype)


def _dropout(node: OnnxNode) -> Any:
    """Nothing is dropped; the mask keeps all."""
    training = node.constant(2, "a training mode")
    ratio = node.setting("ratio", 1) if training is not None and training.item() else None
    if training is not None and training.item() and (ratio is None or ratio.item()):
        raise node.unsupported("training mode")
    if node.outputs < 2:
        return node.x
    dtype = "bool" if node.opset >= 10 else node.dtype
    return relax.Tuple([node.x, relax.const(np.ones(node.shape, dtype), dtype)])


def _layer_normalization(node: OnnxNode) -> Any:
    """In float32 at least; mean and inverse deviation are results too."""
    axis, epsilon = node.axis(node.attr("axis", -1)), node.attr("epsilon", 1e-5)
    span, axes = node.shape[axis:], list(range(axis, node.rank))
    wide = "float64" if node.dtype == "float64" else "float32"
    x = node.emit(relax.op.astype(node.x, wide)) if node.dtype != wide else node.x
    scale = _spread(node, node.input(1), span, wide)
    if node.input(2) is not None:
        bias = _spread(node, node.input(2), span, wide)
    else:
        bias = relax.const(np.zeros(span, wide), wide)
    y = node.emit(relax.op.nn.layer_norm(x, scale, bias, axes, epsilon))
    y = relax.op.astype(y, node.dtype) if node.dtype != wide else y
    if node.outputs < 2:
        return y
    mean = node.emit(relax.op.mean(x, axes, keepdims=True))
    variance = node.emit(relax.op.variance(x, axes, keepdims=True))
    spread = relax.op.add(variance, relax.const(epsilon, wide))
    return relax.Tuple([node.emit(y), mean, node.emit(relax.op.rsqrt(spread))])


def _rms_normalization(node: OnnxNode) -> Any:
    """In float32 at least, like a layer normalisation."""
    axes = list(range(node.axis(node.attr("axis", -1)), node.rank))
    wide = "float64" if node.dtype == "float64" else "float32"
    scale = _spread(node, node.input(1), node.shape[axes[0] :], wide)
    y = relax.op.nn.rms_norm(_cast(node.x, wide), scale, axes, node.attr("epsilon", 1e-5))
    return _cast(node.emit(y), node.dtype)


def _group_normalization(node: OnnxNode) -> Any:
    """As since operator set 21; ``outline`` spells the older one by other operators."""
    groups, channels = node.attr("num_groups", 1), node.shape[1]
    if groups < 1 or channels % groups:
        raise node.unsupported(f"{groups} groups of {channels} channels")
    return _normalize_groups(node, groups)


def _instance_normalization(node: OnnxNode) -> Any:
    """A group a channel (Ulyanov et al. 2016)."""
    return _normalize_groups(node, node.shape[1])


def _normalize_groups(node: OnnxNode, groups: int) -> Any:
    """In float32 at least."""
    wide = "float64" if node.dtype == "float64" else "float32"
    scale, shift = (_cast(p, wide) for p in node.inputs[1:])
    axes, epsilon = list(range(2, node.rank)), node.attr("epsilon", 1e-5)
    x = node.emit(_cast(node.x, wide))
    y = relax.op.nn.group_norm(x, scale, shift, groups, 1, axes, epsilon)
    return _cast(node.emit(y), node.dtype)


def _cast(expr: Any, dtype: str) -> Any:
    return expr if dtype_of(expr) == dtype else relax.op.astype(expr, dtype)


def _spread(node: OnnxNode, x: Any, shape: tuple[int, ...], dtype: str) -> Any:
    if shape_of(x) != shape:
        x = node.emit(relax.op.broadcast_to(x, shape))
    return x if dtype_of(x) == dtype else node.emit(relax.op.astype(x, dtype))


def _local_response_normalization(node: OnnxNode) -> Any:
    """Krizhevsky et al. 2012; of an even number of neighbours, one more comes after."""
    if node.rank < 3:
        raise node.unsupported("an input of less than 3 dimensions")
    size = node.attr("size", 1)
    before = (size - 1) // 2
    n, c, h, *rest = node.shape
    square = relax.op.reshape(relax.op.multiply(node.x, node.x), (n, 1, c, h, math.prod(rest)))
    mean = relax.op.nn.avg_pool3d(
        node.emit(square),
        (size, 1, 1),
        padding=(before, 0, 0, size - 1 - before, 0, 0),
        count_include_pad=True,
    )
    scaled = relax.op.multiply(
        relax.op.reshape(mean, node.shape), node.number(node.attr("alpha", 1e-4))
    )
    base = relax.op.add(scaled, node.number(node.attr("bias", 1.0)))
    return relax.op.divide(node.x, relax.op.power(base, node.number(node.attr("beta", 0.75))))


CONVERTERS: dict[str, OnnxConverter] = {
    "BatchNormalization": _batch_normalization,
    "Dropout": _dropout,
    "GroupNormalization": _group_normalization,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "LRN": _local_response_normalization,
    "RMSNormalization": _rms_normalization,
}
