"""How Relax's elementwise operators, reductions and matrix products are spelled in the graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .translation import Converter, Translation

_UNARY = """
    negative abs sign logical_not bitwise_not exp log sqrt rsqrt sigmoid tanh erf floor ceil
    round sin cos tan sinh cosh asin acos atan asinh acosh atanh isnan isinf
""".split()
_BINARY = """
    add subtract multiply divide floor_divide power mod floor_mod maximum minimum equal
    less less_equal greater greater_equal logical_and logical_or logical_xor
    bitwise_and bitwise_or bitwise_xor left_shift right_shift where
""".split()
_REDUCTIONS = ["sum", "mean", "max", "min", "prod"]


def _elementwise(op: str) -> Converter:
    def convert(t: Translation, call: Any) -> int:
        return t.emit(op, *(t.value(a) for a in call.args))

    return convert


def _reduction(op: str) -> Converter:
    def convert(t: Translation, call: Any) -> int:
        x = t.value(call.args[0])
        return reduce(t, op, x, call.attrs.axis, bool(call.attrs.keepdims))

    return convert


def reduce(t: Translation, op: str, x: int, axis: Any, keepdims: bool) -> int:
    """A reduction over ``axis`` (None is all of them)."""
    rank = len(t.type(x).shape)
    axes = tuple(sorted(int(a) % rank for a in axis)) if axis is not None else tuple(range(rank))
    if not axes:
        return x
    return t.emit(op, x, axes=axes, keepdims=keepdims)


def _isfinite(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    return t.emit("logical_not", t.emit("logical_or", t.emit("isnan", x), t.emit("isinf", x)))


def _clip(t: Translation, call: Any) -> int:
    x, low, high = t.value(call.args[0]), t.number(call.args[1]), t.number(call.args[2])
    return clip(t, x, low, high)


def clip(t: Translation, x: int, low: float, high: float) -> int:
    """``min(max(x, low), high)``."""
    dtype = t.type(x).dtype
    if dtype.startswith(("int", "uint")):
        info = np.iinfo(dtype)
        ends = tuple(int(min(max(v, info.min), info.max)) for v in (low, high))
        return t.emit("clip", x, out=t.type(x), min=ends[0], max=ends[1])
    if low == 0 and high == math.inf:
        return t.emit("relu", x)
    written = [v if math.isfinite(v) else str(v) for v in (low, high)]
    return t.emit("clip", x, out=t.type(x), min=written[0], max=written[1])


def _cast(t: Translation, call: Any) -> int:
    return t.cast(t.value(call.args[0]), t.out(call).dtype)


def _matmul(t: Translation, call: Any) -> int:
    a, b = t.value(call.args[0]), t.value(call.args[1])
    out = t.out(call)
    return t.reshape(matmul(t, a, b), out.shape)


def matmul(t: Translation, a: int, b: int) -> int:
    """NumPy's matmul of two values; vectors become matrices with one row or column."""
    if len(t.type(a).shape) == 1:
        a = t.reshape(a, (1, *t.type(a).shape))
    if len(t.type(b).shape) == 1:
        b = t.reshape(b, (*t.type(b).shape, 1))
    return t.emit("matmul", a, b, transpose_b=False)


def variance(t: Translation, x: int, axes: tuple[int, ...], keepdims: bool) -> int:
    """Mean squared distance from the mean."""
    centred = t.emit("subtract", x, t.emit("mean", x, axes=axes, keepdims=True))
    square = t.emit("multiply", centred, centred)
    return t.emit("mean", square, axes=axes, keepdims=keepdims)


def _variance(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    rank = len(t.type(x).shape)
    axis = call.attrs.axis if call.attrs.axis is not None else range(rank)
    axes = tuple(sorted(int(a) % rank for a in axis))
    return variance(t, x, axes, bool(call.attrs.keepdims))


def _quantize(t: Translation, call: Any) -> int:
    """In float32; NaN becomes the lowest number, as in ONNX Runtime."""
    x, scale, zero = (t.value(a) for a in call.args[:3])
    dtype, axis = t.out(call).dtype, int(call.attrs.axis)
    x, scale, zero = (t.cast(v, "float32") for v in (x, scale, zero))
    scale, zero = _along(t, scale, x, axis), _along(t, zero, x, axis)
    y = t.emit("add", t.emit("round", t.emit("divide", x, scale)), zero)
    info = np.iinfo(dtype)
    low, high = t.scalar(int(info.min), y), t.scalar(int(info.max), y)
    y = t.emit("where", t.emit("greater", y, low), y, low)
    return t.cast(t.emit("where", t.emit("less", y, high), y, high), dtype)


def _dequantize(t: Translation, call: Any) -> int:
    """In float32."""
    x, scale, zero = (t.value(a) for a in call.args[:3])
    dtype, axis = t.out(call).dtype, int(call.attrs.axis)
    scale, zero = _along(t, scale, x, axis), _along(t, zero, x, axis)
    centred = t.emit("subtract", t.cast(x, "int32"), t.cast(zero, "int32"))
    product = t.emit("multiply", t.cast(centred, "float32"), t.cast(scale, "float32"))
    return t.cast(product, dtype)


def _along(t: Translation, vector: int, x: int, axis: int) -> int:
    """A scalar, or a vector laid along one axis of ``x``."""
    size, rank = t.type(vector).size, len(t.type(x).shape)
    shape = [1] * rank
    if size > 1:
        shape[axis % rank] = size
    return t.reshape(vector, shape if rank else ())


def _arange(t: Translation, call: Any) -> int:
    start, _, step = (t.number(a) for a in call.args)
    out = t.out(call)
    array = start + step * np.arange(out.size)
    return t.builder.constant(array.astype(out.dtype))


def _filled(number: float) -> Converter:
    def convert(t: Translation, call: Any) -> int:
        out = t.out(call)
        return t.builder.constant(np.broadcast_to(np.asarray(number, out.dtype), out.shape))

    return convert


def _one_hot(t: Translation, call: Any) -> int:
    indices, out = t.value(call.args[0]), t.out(call)
    on, off = (t.builder.scalar(t.number(a), out.dtype) for a in call.args[1:3])
    axis = int(call.attrs.axis) % len(out.shape)
    shape = list(out.shape)
    depth, shape[axis] = shape[axis], 1
    places = np.arange(depth, dtype=t.type(indices).dtype)
    classes = t.builder.constant(
        places.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    )
    hit = t.emit("equal", t.reshape(indices, shape), classes)
    return t.emit("where", hit, on, off, out=out)


def _triangle(upper: bool) -> Converter:
    def convert(t: Translation, call: Any) -> int:
        x, k = t.value(call.args[0]), int(t.number(call.args[1]))
        ones = np.ones(t.type(x).shape[-2:], bool)
        mask = np.triu(ones, k) if upper else np.tril(ones, k)
        return t.emit("where", t.builder.constant(mask), x, t.scalar(0, x), out=t.type(x))

    return convert


TABLE: dict[str, Converter] = {
    **{f"relax.{op}": _elementwise(op) for op in _UNARY + _BINARY},
    **{f"relax.{op}": _reduction(op) for op in _REDUCTIONS},
    "relax.isfinite": _isfinite,
    "relax.clip": _clip,
    "relax.astype": _cast,
    "relax.matmul": _matmul,
    "relax.variance": _variance,
    "relax.quantize": _quantize,
    "relax.dequantize": _dequantize,
    "relax.arange": _arange,
    "relax.zeros_like": _filled(0),
    "relax.ones_like": _filled(1),
    "relax.one_hot": _one_hot,
    "relax.triu": _triangle(upper=True),
    "relax.tril": _triangle(upper=False),
}
