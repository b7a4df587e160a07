"""Softmax, normalisations and attention, in NumPy; see ``evaluate``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from luthier.schedules import Node
from luthier.schedules.attention_form import COVERED

Array = NDArray[Any]


def softmax(node: Node, x: Array) -> Array:
    """Over one axis."""
    exp = np.exp(x - x.max(axis=node.attr("axis"), keepdims=True))
    return np.asarray(exp / exp.sum(axis=node.attr("axis"), keepdims=True))


def log_softmax(node: Node, x: Array) -> Array:
    """Its logarithm."""
    shifted = x - x.max(axis=node.attr("axis"), keepdims=True)
    total = np.exp(shifted).sum(axis=node.attr("axis"), keepdims=True)
    return np.asarray(shifted - np.log(total))


def layer_norm(node: Node, x: Array, gamma: Array, beta: Array) -> Array:
    """Mean 0 and variance 1 over the last axes."""
    axes = tuple(range(x.ndim - gamma.ndim, x.ndim))
    mean = x.mean(axis=axes, keepdims=True)
    variance = np.square(x - mean).mean(axis=axes, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(variance + node.attr("epsilon")) * gamma + beta)


def attention(
    node: Node,
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    cover: Array | None = None,
) -> Array:
    """See ``attention_form`` for the operands' places."""
    batch, heads, rows, keys, depth, width = node.attr("sizes")

    def operand(x: Array, place: str, count: int, columns: int) -> Array:
        offset, *strides = (int(s) for s in node.attr(place))
        flat = x.reshape(-1)[offset:]
        bytes_ = [s * flat.itemsize for s in (*strides, 1)]
        return as_strided(flat, (batch, heads, count, columns), bytes_, writeable=False)

    scores = operand(q, "q", rows, depth) * node.attr("scale")
    scores = scores @ operand(k, "k", keys, depth).swapaxes(2, 3)
    if mask is not None:
        added = mask.swapaxes(2, 3)
        scores = scores + added
        if cover is not None:
            scores = np.where(cover.swapaxes(2, 3) <= COVERED, added, scores)
    exp = np.exp(scores - scores.max(axis=3, keepdims=True))
    share = exp / exp.sum(axis=3, keepdims=True)
    if node.attr("empty_is_zero"):
        share = np.where(np.isnan(share), 0, share)
    result = share @ operand(v, "v", keys, width)
    out = np.zeros(node.out.size, result.dtype)
    _, *strides = (int(s) * out.itemsize for s in node.attr("o"))
    as_strided(out, result.shape, (*strides, out.itemsize))[:] = result
    return out.reshape(node.out.shape)


def rms_norm(node: Node, x: Array, gamma: Array) -> Array:
    """Mean square 1 over the last axes."""
    axes = tuple(range(x.ndim - gamma.ndim, x.ndim))
    mean = np.square(x).mean(axis=axes, keepdims=True)
    return np.asarray(x / np.sqrt(mean + node.attr("epsilon")) * gamma)


def group_norm(node: Node, x: Array, gamma: Array, beta: Array) -> Array:
    """Mean 0 and variance 1 over an image's groups of channels."""
    split = x.reshape(x.shape[0], -1, node.attr("groups"), x.shape[-1] // node.attr("groups"))
    distance = split - split.mean(axis=(1, 3), keepdims=True)
    variance = np.square(distance).mean(axis=(1, 3), keepdims=True)
    even = distance / np.sqrt(variance + node.attr("epsilon"))
    return np.asarray(even.reshape(x.shape) * gamma + beta)
