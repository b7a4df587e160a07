"""How Relax's activations and normalisations are spelled in the graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .translation import Converter, Translation


def _softmax(op: str) -> Converter:
    def convert(t: Translation, call: Any) -> int:
        x = t.value(call.args[0])
        return t.emit(op, x, axis=int(call.attrs.axis) % len(t.type(x).shape))

    return convert


def _relu(t: Translation, call: Any) -> int:
    return t.emit("relu", t.value(call.args[0]))


def _leaky_relu(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    return t.emit("leaky_relu", x, alpha=float(call.attrs.alpha))


def _prelu(t: Translation, call: Any) -> int:
    x, slope = t.value(call.args[0]), t.value(call.args[1])
    shape = [1] * len(t.type(x).shape)
    if t.type(slope).size > 1:
        shape[int(call.attrs.axis) % len(shape)] = t.type(slope).size
    scaled = t.emit("multiply", x, t.reshape(slope, shape))
    return t.emit("where", t.emit("greater", x, t.scalar(0, x)), x, scaled)


def gelu(t: Translation, x: int) -> int:
    """Hendrycks and Gimpel 2016, exact form: ``x * (1 + erf(x / sqrt 2)) / 2``."""
    scaled = t.emit("multiply", x, t.scalar(1 / math.sqrt(2), x))
    one = t.emit("add", t.emit("erf", scaled), t.scalar(1, x))
    return t.emit("multiply", t.emit("multiply", x, t.scalar(0.5, x)), one)


def _gelu(t: Translation, call: Any) -> int:
    return gelu(t, t.value(call.args[0]))


def _gelu_tanh(t: Translation, call: Any) -> int:
    """The tanh form of the same paper."""
    x = t.value(call.args[0])
    cube = t.emit("multiply", x, t.emit("multiply", x, x))
    inner = t.emit("add", x, t.emit("multiply", cube, t.scalar(0.044715, x)))
    bent = t.emit("tanh", t.emit("multiply", inner, t.scalar(math.sqrt(2 / math.pi), x)))
    one = t.emit("add", bent, t.scalar(1, x))
    return t.emit("multiply", t.emit("multiply", x, t.scalar(0.5, x)), one)


def _batch_norm(t: Translation, call: Any) -> tuple[int, ...]:
    x, gamma, beta, mean, variance = (t.value(a) for a in call.args)
    shape = [1] * len(t.type(x).shape)
    shape[int(call.attrs.axis)] = t.type(gamma).size
    epsilon = float(call.attrs.epsilon)
    spread = t.emit("sqrt", t.emit("add", variance, t.scalar(epsilon, x)))
    scale = t.emit("divide", gamma, spread) if call.attrs.scale else t.emit("rsqrt", spread)
    shift = t.emit("negative", t.emit("multiply", mean, scale))
    if call.attrs.center:
        shift = t.emit("add", beta, shift)
    scaled = t.emit("multiply", x, t.reshape(scale, shape))
    return t.emit("add", scaled, t.reshape(shift, shape)), mean, variance


def _standardise(t: Translation, x: int, axes: tuple[int, ...], epsilon: float) -> int:
    """Mean zero and variance one over ``axes``."""
    centred = t.emit("subtract", x, t.emit("mean", x, axes=axes, keepdims=True))
    square = t.emit("multiply", centred, centred)
    variance = t.emit("mean", square, axes=axes, keepdims=True)
    scale = t.emit("rsqrt", t.emit("add", variance, t.scalar(epsilon, x)))
    return t.emit("multiply", centred, scale)


def _affine(t: Translation, x: int, gamma: int, beta: int, shape: Sequence[int]) -> int:
    scaled = t.emit("multiply", x, t.reshape(gamma, shape))
    return t.emit("add", scaled, t.reshape(beta, shape))


def _axes(t: Translation, call: Any, x: int) -> tuple[int, ...]:
    rank = len(t.type(x).shape)
    return tuple(sorted(int(a) % rank for a in call.attrs.axes))


def _layer_norm(t: Translation, call: Any) -> int:
    x, gamma, beta = (t.value(a) for a in call.args)
    axes, epsilon = _axes(t, call, x), float(call.attrs.epsilon)
    shape = t.type(x).shape
    if axes == tuple(range(len(shape) - len(axes), len(shape))):
        spans = [t.reshape(v, [shape[a] for a in axes]) for v in (gamma, beta)]
        return t.emit("layer_norm", x, *spans, epsilon=epsilon)
    spread = [d if i in axes else 1 for i, d in enumerate(shape)]
    return _affine(t, _standardise(t, x, axes, epsilon), gamma, beta, spread)


def _group_norm(t: Translation, call: Any) -> int:
    """As the converters write it: over channels, dimension 1, and all places."""
    x, gamma, beta = (t.value(a) for a in call.args)
    shape, groups, epsilon = t.type(x).shape, int(call.attrs.num_groups), float(call.attrs.epsilon)
    rank = len(shape)
    if t.type(x).dtype == "float32":
        last = t.transpose(x, (0, *range(2, rank), 1))
        y = t.emit("group_norm", last, gamma, beta, groups=groups, epsilon=epsilon)
        return t.transpose(y, (0, rank - 1, *range(1, rank - 1)))
    split = (shape[0], groups, shape[1] // groups, *shape[2:])
    even = _standardise(t, t.reshape(x, split), tuple(range(2, rank + 1)), epsilon)
    along = [d if i == 1 else 1 for i, d in enumerate(shape)]
    return _affine(t, t.reshape(even, shape), gamma, beta, along)


def _rms_norm(t: Translation, call: Any) -> int:
    """As the converter writes it: over the last axes."""
    x, weight = t.value(call.args[0]), t.value(call.args[1])
    epsilon = float(call.attrs.epsilon)
    if t.type(x).dtype == "float32":
        return t.emit("rms_norm", x, weight, epsilon=epsilon)
    mean = t.emit("mean", t.emit("multiply", x, x), axes=_axes(t, call, x), keepdims=True)
    scale = t.emit("rsqrt", t.emit("add", mean, t.scalar(epsilon, x)))
    return t.emit("multiply", t.emit("multiply", x, scale), weight)


TABLE: dict[str, Converter] = {
    "relax.nn.softmax": _softmax("softmax"),
    "relax.nn.log_softmax": _softmax("log_softmax"),
    "relax.nn.relu": _relu,
    "relax.nn.leakyrelu": _leaky_relu,
    "relax.nn.prelu": _prelu,
    "relax.nn.gelu": _gelu,
    "relax.nn.gelu_tanh": _gelu_tanh,
    "relax.nn.batch_norm": _batch_norm,
    "relax.nn.layer_norm": _layer_norm,
    "relax.nn.group_norm": _group_norm,
    "relax.nn.rms_norm": _rms_norm,
}
