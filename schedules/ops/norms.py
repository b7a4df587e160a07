"""Softmax and normalisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs, like_first


class Softmax(Anchor):
    """x; axis."""


class Norm(Anchor):
    """x, gamma, beta or not; epsilon. Over the last axes: as many as gamma has, two without it, but
    for groups."""


def _softmax(node: Node, x: Array) -> Array:
    """Over one axis."""
    exp = np.exp(x - x.max(axis=node.attr("axis"), keepdims=True))
    return np.asarray(exp / exp.sum(axis=node.attr("axis"), keepdims=True))


def _log_softmax(node: Node, x: Array) -> Array:
    """Its logarithm."""
    shifted = x - x.max(axis=node.attr("axis"), keepdims=True)
    total = np.exp(shifted).sum(axis=node.attr("axis"), keepdims=True)
    return np.asarray(shifted - np.log(total))


def _layer_norm(node: Node, x: Array, gamma: Array, beta: Array) -> Array:
    """Mean 0 and variance 1 over the last axes."""
    axes = tuple(range(x.ndim - gamma.ndim, x.ndim))
    mean = x.mean(axis=axes, keepdims=True)
    variance = np.square(x - mean).mean(axis=axes, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(variance + node.attr("epsilon")) * gamma + beta)


def _rms_norm(node: Node, x: Array, gamma: Array) -> Array:
    """Mean square 1 over the last axes."""
    axes = tuple(range(x.ndim - gamma.ndim, x.ndim))
    mean = np.square(x).mean(axis=axes, keepdims=True)
    return np.asarray(x / np.sqrt(mean + node.attr("epsilon")) * gamma)


def _standardize(node: Node, x: Array) -> Array:
    """Mean 0 and variance 1 over the last two axes."""
    distance = x - x.mean(axis=(-2, -1), keepdims=True)
    variance = np.square(distance).mean(axis=(-2, -1), keepdims=True)
    return np.asarray(distance / np.sqrt(variance + node.attr("epsilon")))


def _infer_standardize(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    if len(args[0].shape) < 2:
        raise ValueError(f"the last two dimensions of {args[0]}")
    return args[0]


def _group_norm(node: Node, x: Array, gamma: Array, beta: Array) -> Array:
    """Mean 0 and variance 1 over an image's groups of channels."""
    split = x.reshape(x.shape[0], -1, node.attr("groups"), x.shape[-1] // node.attr("groups"))
    distance = split - split.mean(axis=(1, 3), keepdims=True)
    variance = np.square(distance).mean(axis=(1, 3), keepdims=True)
    even = distance / np.sqrt(variance + node.attr("epsilon"))
    return np.asarray(even.reshape(x.shape) * gamma + beta)


def _each(operations: int) -> Callable[[Node, Sequence[Tensor]], int]:
    """So many operations for each element of the first argument."""
    return lambda node, args: operations * args[0].size


OPERATORS = (
    Softmax("softmax", 1, _softmax, like_first, count=_each(4)),
    Softmax("log_softmax", 1, _log_softmax, like_first, count=_each(4)),
    Norm("layer_norm", 3, _layer_norm, like_first, count=_each(6)),
    Norm("rms_norm", 2, _rms_norm, like_first, count=_each(5)),
    Norm("standardize", 1, _standardize, _infer_standardize, count=_each(6)),
    # x[N,...,C], gamma[C], beta[C]; groups (that divide C): mean and variance are those of an
    # image's group of neighbouring channels
    Norm("group_norm", 3, _group_norm, like_first, count=_each(6)),
)
