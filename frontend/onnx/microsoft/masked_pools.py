"""Pools of which a mask hides places (ONNX Runtime's domain)."""

from __future__ import annotations

import math

import numpy as np

from ...graph import Array
from .spelling import Operators, Results, Spelled, Spelling, attributes

_INT32 = 6
_LOWEST = float(np.finfo(np.float32).min)


def _masked_pool(call: Spelling) -> Results:
    """A window's row of the last dimension ends at its first place whose mask is 0; a place that
    is NaN does not count. In images and volumes the very first place of all is never hidden."""
    shape, mask = call.shape(call.x), call.shape(call.given(1))
    inner = shape[2:]
    if len(shape) not in (3, 4, 5) or mask[2:] != inner or 0 in (*mask, *shape):
        raise call.unsupported(f"a mask of the shape {list(mask)} for {list(shape)}")
    windows = _windows(call, inner)
    hidden = call.emit("Equal", call.given(1), call.constant(0, "int32"))
    hidden = _for_channels(call, hidden, shape)
    if len(inner) > 1:
        others = np.ones(inner, bool)
        others.flat[0] = False
        hidden = call.emit("And", hidden, call.constant(others, "bool"))
    ended = call.cast(hidden, _INT32)
    lowest = call.constant(_LOWEST, "float32")
    y = call.emit("Where", call.emit("IsNaN", call.x), lowest, call.x)
    for axis, (places, inside) in reversed(list(enumerate(windows, 2))):
        axes = [d for d in range(2, len(shape) + 1) if d not in (axis, axis + 1)]
        there = call.constant(np.expand_dims(inside, tuple(d - 2 for d in axes)), "bool")
        y = call.emit("Gather", y, call.constant(places, "int64"), axis=axis)
        counts = there
        if axis == len(shape) - 1:
            ended = call.emit("Gather", ended, call.constant(places, "int64"), axis=axis)
            ended = call.emit("Mul", ended, call.cast(there, _INT32))
            passed = call.emit("CumSum", ended, call.constant(axis + 1, "int64"))
            none = call.emit("Equal", passed, call.constant(0, "int32"))
            counts = call.emit("And", there, none)
        y = call.emit("Where", counts, y, lowest)
        y = call.reduce("ReduceMax", y, [axis + 1], keepdims=0)
    return call.emit("Max", y, lowest)


def _windows(call: Spelling, sizes: tuple[int, ...]) -> list[tuple[Array, Array]]:
    """Of each dimension the places that its windows hold [windows, places], and which of these are
    inside."""
    kernel = [int(n) for n in call.attr("kernel_shape", ())]
    strides = [int(n) for n in call.attr("strides", ())] or [1] * len(sizes)
    pads = [int(n) for n in call.attr("pads", ())] or [0] * 2 * len(sizes)
    auto = call.attr("auto_pad", "NOTSET")
    if (
        not len(kernel) == len(strides) == len(sizes) == len(pads) / 2
        or min(*kernel, *strides) < 1
        or min(pads) < 0
        or auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    ):
        raise call.unsupported(f"windows {kernel} with strides {strides} and pads {pads}")
    found = []
    for i, (size, width, stride) in enumerate(zip(sizes, kernel, strides, strict=True)):
        begin, end = (pads[i], pads[i + len(sizes)]) if auto == "NOTSET" else (0, 0)
        if auto.startswith("SAME"):
            total = max((math.ceil(size / stride) - 1) * stride + width - size, 0)
            begin = total // 2 if auto == "SAME_UPPER" else total - total // 2
            end = total - begin
        count = (size + begin + end - width) // stride + 1
        if count < 1 or count * width > 1 << 24:
            raise call.unsupported(f"windows {kernel} of {list(sizes)}")
        places = np.arange(count).reshape(-1, 1) * stride - begin + np.arange(width)
        inside = (places >= 0) & (places < size)
        found.append((np.clip(places, 0, size - 1), inside))
    return found


def _for_channels(call: Spelling, mask: str, shape: tuple[int, ...]) -> str:
    """A mask of all planes; of several the places that ONNX Runtime reads for each plane, which
    begin after as many elements as the planes before have, less whole numbers of masks."""
    own = call.shape(mask)
    if own[0] * own[1] == 1:
        return mask
    planes, size, count = shape[0] * shape[1], math.prod(shape[2:]), own[0] * own[1]
    first = np.arange(planes).reshape(-1, 1) * size % count
    places = (first + np.arange(size)).reshape(shape)
    return call.emit("Gather", call.reshape(mask, -1), call.constant(places, "int64"), axis=0)


OPERATORS: Operators = {
    "MaxpoolWithMask": Spelled(
        _masked_pool,
        2,
        attributes("auto_pad kernel_shape pads storage_order strides"),
        since=11,
    ),
}
