"""Converters of our own for ONNX network layers that TVM's importer refuses or gets wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.schedules import ModelError
from luthier.schedules.tvm_late import relax

from .onnx_node import OnnxConverter, OnnxNode, dtype_of, shape_of

_POOLS = ("MaxPool", "AveragePool")
_LARGEST = 2**31 - 1


def explicit_padding(op: str, node: OnnxNode) -> dict[str, Any]:
    """The node's attributes with ``pads`` in place of ``auto_pad`` and ``output_shape``.

    Raises ModelError for windows that do not fit.
    """
    attrs = dict(node.attrs)
    mode = node.attr("auto_pad", "NOTSET") or "NOTSET"
    attrs.pop("auto_pad", None)
    if node.rank < 3:
        raise node.unsupported(f"an input of {node.rank} dimensions")
    window = _window(op, node)
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise node.unsupported(f"the padding '{mode}'")
    if op == "ConvTranspose":
        return attrs | _transposed_padding(node, mode, window)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        places = [math.ceil(d / s) for d, s in zip(window.spatial, window.strides, strict=True)]
        total = [
            max((o - 1) * s + k - d, 0)
            for o, s, k, d in zip(places, window.strides, window.spans, window.spatial, strict=True)
        ]
        attrs |= {"pads": _halves(total, mode == "SAME_UPPER")}
    elif mode == "VALID":
        attrs |= {"pads": (0,) * (2 * len(window.spatial))}
    if mode != "NOTSET" and op in _POOLS:
        attrs["ceil_mode"] = 0
    attrs["pads"] = attrs.get("pads") or (0,) * (2 * len(window.spatial))
    _check_places(node, window, attrs["pads"], bool(attrs.get("ceil_mode")))
    if op == "MaxPool" and any(
        p >= k for p, k in zip(attrs["pads"], window.spans * 2, strict=True)
    ):
        raise node.unsupported(f"padding by {list(attrs['pads'])}, a window's size and more,")
    return attrs


@dataclass(frozen=True)
class _Window:
    """Of a convolution or pooling, by dimension; ``spans`` is what a dilated kernel reaches."""

    spatial: tuple[int, ...]
    spans: tuple[int, ...]
    strides: tuple[int, ...]


def _window(op: str, node: OnnxNode) -> _Window:
    """Raises ModelError where an attribute is no such number, or they are too few or many."""
    spatial = node.shape[2:]
    given = node.attrs.get("kernel_shape")
    weights = () if op in _POOLS else shape_of(node.input(1))
    if op not in _POOLS:
        _check_weights(op, node, weights)
    kernel = tuple(given) if given is not None else weights[2:]
    strides = tuple(node.attrs.get("strides") or (1,) * len(spatial))
    dilations = tuple(node.attrs.get("dilations") or (1,) * len(spatial))
    for name, numbers in (("kernel", kernel), ("strides", strides), ("dilations", dilations)):
        if len(numbers) != len(spatial) or not all(1 <= n <= _LARGEST for n in numbers):
            raise node.unsupported(f"{name} {list(numbers)} for {len(spatial)} dimensions")
    if weights and kernel != weights[2:]:
        raise node.unsupported(f"a kernel of {list(kernel)} with weights {list(weights)}")
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    return _Window(spatial, spans, strides)


def _check_weights(op: str, node: OnnxNode, weights: tuple[int, ...]) -> None:
    group, channels = node.attr("group", 1), node.shape[1]
    what = f"{group} groups of {channels} channels with weights {list(weights)}"
    if len(weights) != node.rank or 0 in weights or group < 1:
        raise node.unsupported(what)
    if op == "Conv":
        fits, results = weights[1] * group == channels and weights[0] % group == 0, weights[0]
    else:
        fits, results = weights[0] == channels and channels % group == 0, weights[1] * group
    if not fits:
        raise node.unsupported(what)
    if node.input(2) is not None and shape_of(node.input(2)) != (results,):
        shape = list(shape_of(node.input(2)))
        raise node.unsupported(f"a bias of the shape {shape} for {results} channels")


def _check_places(node: OnnxNode, window: _Window, pads: Sequence[int], ceil: bool) -> None:
    """Raise ModelError where a window has no place in the padded image, or at its end for ``ceil``,
    where windows may reach beyond it by less than a stride.
    """
    count = len(window.spatial)
    if len(pads) != 2 * count or not all(0 <= p <= _LARGEST for p in pads):
        raise node.unsupported(f"padding by {list(pads)}")
    sizes = [d + a + b for d, a, b in zip(window.spatial, pads, pads[count:], strict=False)]
    beyond = [stride - 1 if ceil else 0 for stride in window.strides]
    if any(span > s + more for span, s, more in zip(window.spans, sizes, beyond, strict=True)):
        raise ModelError(
            f"{node.label}: its window of {list(window.spans)} is larger than the padded input of "
            f"{sizes}"
        )


def _transposed_padding(node: OnnxNode, mode: str, window: _Window) -> dict[str, Any]:
    """``output_shape``, or ``auto_pad``'s input times stride, tell how much is cut off."""
    spatial, count = window.spatial, len(window.spatial)
    extra = list(node.attrs.get("output_padding") or (0,) * count)
    if len(extra) != count or not all(0 <= e <= _LARGEST for e in extra):
        raise node.unsupported(f"output_padding {extra}")
    wanted = node.attrs.get("output_shape")
    if wanted:
        wanted = wanted[-count:]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [d * s for d, s in zip(spatial, window.strides, strict=True)]
    full = [(d - 1) * s + k for d, s, k in zip(spatial, window.strides, window.spans, strict=True)]
    if not wanted:
        pads = tuple(node.attrs.get("pads") or ()) if mode == "NOTSET" else ()
        pads = pads or (0,) * (2 * count)
        cut = [a + b - e for a, b, e in zip(pads, pads[count:], extra, strict=False)]
        _check_cut(node, full, cut, pads)
        return {"pads": pads}
    if len(wanted) != count or not all(1 <= w <= _LARGEST for w in wanted):
        raise node.unsupported(f"output_shape {list(wanted)}")
    cut = [f + e - w for f, e, w in zip(full, extra, wanted, strict=True)]
    more = [e + max(-c, 0) for e, c in zip(extra, cut, strict=True)]
    pads = _halves([max(c, 0) for c in cut], mode == "SAME_UPPER")
    return {"pads": pads, "output_padding": tuple(more)}


def _check_cut(node: OnnxNode, full: list[int], cut: list[int], pads: Sequence[int]) -> None:
    if len(cut) != len(full) or not all(0 <= p <= _LARGEST for p in pads):
        raise node.unsupported(f"padding by {list(pads)}")
    if any(f - c < 1 for f, c in zip(full, cut, strict=True)):
        raise ModelError(f"{node.label}: padding by {list(pads)} leaves nothing of {full}")


def _halves(total: list[int], upper: bool) -> tuple[int, ...]:
    """Pads before and after; the larger half comes last for ``upper``."""
    before = [t // 2 if upper else t - t // 2 for t in total]
    return (*before, *(t - b for t, b in zip(total, before, strict=True)))


def grid_as_image(node: OnnxNode) -> Any:
    """The grid in the image's element type: TVM's kernel takes both for one type."""
    if not node.dtype.startswith("float"):
        raise node.unsupported(f"an image of {node.dtype}")
    return node.emit(_cast(node.input(1), node.dtype))


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
    mask = relax.op.broadcast_to(relax.const(1, dtype), node.shape)
    return relax.Tuple([node.x, node.emit(mask)])


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
    if not 1 <= size <= _LARGEST:
        raise node.unsupported(f"the size {size}")
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
