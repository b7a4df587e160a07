"""Normalisations, composed of the graph's operators."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph.emitter import Emitter
from . import math


def batch_norm(
    t: Emitter,
    x: int,
    statistics: Sequence[int],
    axis: int,
    epsilon: float,
    *,
    center: bool = True,
    scale: bool = True,
) -> int:
    """By known ``statistics``: gamma, beta, mean and variance of each index of ``axis``."""
    gamma, beta, mean, variance = statistics
    shape = [1] * len(t.shape(x))
    shape[axis] = t.type(gamma).size
    spread = t.emit("sqrt", t.emit("add", variance, t.literal(epsilon, x)))
    factor = t.emit("divide", gamma, spread) if scale else t.emit("rsqrt", spread)
    shift = t.emit("negative", t.emit("multiply", mean, factor))
    if center:
        shift = t.emit("add", beta, shift)
    scaled = t.emit("multiply", x, t.reshape(factor, shape))
    return t.emit("add", scaled, t.reshape(shift, shape))


def _standardise(t: Emitter, x: int, axes: tuple[int, ...], epsilon: float) -> int:
    """Mean zero and variance one over ``axes``."""
    centred = t.emit("subtract", x, t.emit("mean", x, axes=axes, keepdims=True))
    variance = math.variance(t, x, axes, keepdims=True)
    scale = t.emit("rsqrt", t.emit("add", variance, t.literal(epsilon, x)))
    return t.emit("multiply", centred, scale)


def _affine(t: Emitter, x: int, gamma: int, beta: int, shape: Sequence[int]) -> int:
    scaled = t.emit("multiply", x, t.reshape(gamma, shape))
    return t.emit("add", scaled, t.reshape(beta, shape))


def layer_norm(
    t: Emitter, x: int, gamma: int, beta: int, axes: tuple[int, ...], epsilon: float
) -> int:
    """Over ``axes`` (Ba et al. 2016)."""
    shape = t.shape(x)
    if axes == tuple(range(len(shape) - len(axes), len(shape))):
        spans = [t.reshape(v, [shape[a] for a in axes]) for v in (gamma, beta)]
        return t.emit("layer_norm", x, *spans, epsilon=epsilon)
    spread = [d if i in axes else 1 for i, d in enumerate(shape)]
    return _affine(t, _standardise(t, x, axes, epsilon), gamma, beta, spread)


def group_norm(t: Emitter, x: int, gamma: int, beta: int, groups: int, epsilon: float) -> int:
    """Over groups of channels, dimension 1, and all places (Wu and He 2018)."""
    shape = t.shape(x)
    rank = len(shape)
    if t.dtype(x) == "float32":
        last = t.transpose(x, (0, *range(2, rank), 1))
        y = t.emit("group_norm", last, gamma, beta, groups=groups, epsilon=epsilon)
        return t.transpose(y, (0, rank - 1, *range(1, rank - 1)))
    split = (shape[0], groups, shape[1] // groups, *shape[2:])
    even = _standardise(t, t.reshape(x, split), tuple(range(2, rank + 1)), epsilon)
    along = [d if i == 1 else 1 for i, d in enumerate(shape)]
    return _affine(t, t.reshape(even, shape), gamma, beta, along)


def rms_norm(t: Emitter, x: int, weight: int, axes: tuple[int, ...], epsilon: float) -> int:
    """Over the last axes (Zhang and Sennrich 2019)."""
    if t.dtype(x) == "float32":
        return t.emit("rms_norm", x, weight, epsilon=epsilon)
    mean = t.emit("mean", t.emit("multiply", x, x), axes=axes, keepdims=True)
    scale = t.emit("rsqrt", t.emit("add", mean, t.literal(epsilon, x)))
    return t.emit("multiply", t.emit("multiply", x, scale), weight)
