"""How Relax's arithmetic, activations and normalisations are spelled in the graph."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..composites import math, norms, quantization
from .translation import Converter, Translation

_SAME = """
    negative abs sign logical_not bitwise_not exp log sqrt rsqrt sigmoid tanh erf floor ceil
    round sin cos tan sinh cosh asin acos atan asinh acosh atanh isnan isinf
    add subtract multiply divide floor_divide power mod floor_mod maximum minimum equal
    less less_equal greater greater_equal logical_and logical_or logical_xor
    bitwise_and bitwise_or bitwise_xor left_shift right_shift where
""".split()
_REDUCTIONS = ["sum", "mean", "max", "min", "prod"]


def _elementwise(op: str) -> Converter:
    return lambda t, call: t.emit(op, *t.args(call))


def _of_one(compose: Any) -> Converter:
    return lambda t, call: int(compose(t, t.value(call.args[0])))


def _reduction(op: str, t: Translation, call: Any) -> int:
    return math.reduce(t, op, t.value(call.args[0]), call.attrs.axis, bool(call.attrs.keepdims))


def _axes(t: Translation, x: int, axes: Any) -> tuple[int, ...]:
    rank = len(t.shape(x))
    return tuple(range(rank)) if axes is None else tuple(sorted(int(a) % rank for a in axes))


def _variance(t: Translation, call: Any) -> int:
    return math.variance(t, t.value(call.args[0]), call.attrs.axis, bool(call.attrs.keepdims))


def _clip(t: Translation, call: Any) -> int:
    low, high = (t.number_of(call.args[i]) for i in (1, 2))
    return math.clip(t, t.value(call.args[0]), low, high)


def _quantize(t: Translation, call: Any) -> int:
    x, scale, zero = t.args(call)
    spread, dtype = _spread(t, call), t.out(call).dtype
    return quantization.quantize(t, x, scale, zero, spread, dtype, "float32")


def _dequantize(t: Translation, call: Any) -> int:
    x, scale, zero = t.args(call)
    return quantization.dequantize(t, x, scale, zero, _spread(t, call), t.out(call).dtype)


def _spread(t: Translation, call: Any) -> quantization.Spread:
    """Scales lie along an axis."""
    x, axis = t.args(call)[0], int(call.attrs.axis)
    return lambda scale: quantization.along(t, scale, x, axis)


def _arange(t: Translation, call: Any) -> int:
    start, _, step = (t.number_of(a) for a in call.args)
    out = t.out(call)
    return t.constant((start + step * np.arange(out.size)).astype(out.dtype))


def _filled(number: float) -> Converter:
    return lambda t, call: math.filled(t, number, t.out(call))


def _one_hot(t: Translation, call: Any) -> int:
    out = t.out(call)
    on, off = (t.scalar(t.number_of(a), out.dtype) for a in call.args[1:3])
    axis = int(call.attrs.axis) % len(out.shape)
    return math.one_hot(t, t.value(call.args[0]), on, off, axis, out)


def _triangle(t: Translation, call: Any, *, upper: bool) -> int:
    k = int(t.number_of(call.args[1]))
    return math.triangle(t, t.value(call.args[0]), k, upper=upper)


def _softmax(op: str, t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    return t.emit(op, x, axis=int(call.attrs.axis) % len(t.shape(x)))


def _leaky_relu(t: Translation, call: Any) -> int:
    return t.emit("leaky_relu", t.value(call.args[0]), alpha=float(call.attrs.alpha))


def _prelu(t: Translation, call: Any) -> int:
    x, slope = t.args(call)
    shape = [1] * len(t.shape(x))
    if t.type(slope).size > 1:
        shape[int(call.attrs.axis) % len(shape)] = t.type(slope).size
    return math.prelu(t, x, t.reshape(slope, shape))


def _batch_norm(t: Translation, call: Any) -> tuple[int, ...]:
    x, *statistics = t.args(call)
    axis, epsilon = int(call.attrs.axis), float(call.attrs.epsilon)
    center, scale = bool(call.attrs.center), bool(call.attrs.scale)
    y = norms.batch_norm(t, x, statistics, axis, epsilon, center=center, scale=scale)
    return y, *statistics[2:]


def _layer_norm(t: Translation, call: Any) -> int:
    x, gamma, beta = t.args(call)
    axes = _axes(t, x, call.attrs.axes)
    return norms.layer_norm(t, x, gamma, beta, axes, float(call.attrs.epsilon))


def _group_norm(t: Translation, call: Any) -> int:
    x, gamma, beta = t.args(call)
    places = tuple(range(2, len(t.shape(x))))
    if int(call.attrs.channel_axis) != 1 or _axes(t, x, call.attrs.axes) != places:
        raise t.unsupported("a group norm of other dimensions than channels first")
    groups, epsilon = int(call.attrs.num_groups), float(call.attrs.epsilon)
    return norms.group_norm(t, x, gamma, beta, groups, epsilon)


def _rms_norm(t: Translation, call: Any) -> int:
    x, weight = t.args(call)
    axes = _axes(t, x, call.attrs.axes)
    if axes != tuple(range(len(t.shape(x)) - len(axes), len(t.shape(x)))):
        raise t.unsupported("a norm of other than the last dimensions")
    return norms.rms_norm(t, x, weight, axes, float(call.attrs.epsilon))


TABLE: dict[str, Converter] = {
    **{f"relax.{op}": _elementwise(op) for op in _SAME},
    **{f"relax.{op}": partial(_reduction, op) for op in _REDUCTIONS},
    "relax.arange": _arange,
    "relax.astype": lambda t, call: t.cast(t.value(call.args[0]), t.out(call).dtype),
    "relax.clip": _clip,
    "relax.dequantize": _dequantize,
    "relax.isfinite": _of_one(math.isfinite),
    "relax.matmul": lambda t, call: math.matmul(t, *t.args(call)),
    "relax.nn.batch_norm": _batch_norm,
    "relax.nn.gelu": _of_one(math.gelu),
    "relax.nn.gelu_tanh": _of_one(math.gelu_tanh),
    "relax.nn.group_norm": _group_norm,
    "relax.nn.layer_norm": _layer_norm,
    "relax.nn.leakyrelu": _leaky_relu,
    "relax.nn.log_softmax": partial(_softmax, "log_softmax"),
    "relax.nn.prelu": _prelu,
    "relax.nn.relu": _elementwise("relu"),
    "relax.nn.rms_norm": _rms_norm,
    "relax.nn.softmax": partial(_softmax, "softmax"),
    "relax.one_hot": _one_hot,
    "relax.ones_like": _filled(1),
    "relax.quantize": _quantize,
    "relax.tril": partial(_triangle, upper=False),
    "relax.triu": partial(_triangle, upper=True),
    "relax.variance": _variance,
    "relax.zeros_like": _filled(0),
}
