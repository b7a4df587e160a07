"""Scales after a convolution or product move into its weights, as batch normalisation's do.

``(conv(x, w) + b) * s`` becomes ``conv(x, w * s) + b * s`` where ``w``, ``b`` and ``s`` are known,
``s`` has one number for each output channel, and nobody else sees what is scaled (Jacob et al.
2018, *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference*, section 3.2). ``(x * a + b) * s`` becomes ``x * (a * s) + b * s`` likewise, and
``(x + a) + b`` becomes ``x + (a + b)``.

Floats are not real numbers: what would leave the range of ordinary numbers, before or after, stays
as it is, and so do terms that cancel, since ``(x + 1e9) - 1e9`` is not ``x``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from luthier.schedules import Node
from luthier.schedules.ir.dtype import FLOAT32

from ..graph import Array, Graph, Op, Rewriter

# Factors and terms up to the first leave room in float32 for what they are multiplied with, and so
# do products of two; products from the second on keep their precision. Training leaves channels
# whose factors are below that themselves: what comes of these is nothing either way.
_MOST, _LEAST = 2.0**40, 2.0**-100
# Sums of terms that are larger than the first must keep the second share of the larger term, others
# the third: rounding to the larger term's precision must not be what the result consists of.
_LARGE_TERM, _SHARE_OF_LARGE, _SHARE = 64.0, 2.0**-4, 2.0**-16


def fold_scales(graph: Graph) -> Graph:
    """Multiply weights by what scales their product; see the module's text."""
    b = _ScaleFolding(graph)
    return b.rewrite(b.rule)


class _ScaleFolding(Rewriter):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.readers: Counter[int] = Counter()  # of new values, in the old graph

    def rule(self, op: Op, node: Node) -> int:
        folded = self._folded(node)
        value = self.add(node) if folded is None else folded
        self.readers[value] += self.graph.uses[op.result]
        return value

    def _folded(self, node: Node) -> int | None:
        """The product or sum with a constant, as a change of what came before it."""
        if node.op not in ("multiply", "add") or node.out.element != FLOAT32:
            return None
        for value, known in self._with_constant(node):
            if node.op == "add":
                return self._sum(value, known, node)
            scale = self._per_channel(known, node)
            if scale is not None:
                return self._scaled(value, scale)
        return None

    def _with_constant(self, node: Node) -> Iterator[tuple[int, int]]:
        """An argument of the result's shape and the other, where that is known; either way."""
        for value, known in (node.args, node.args[::-1]):
            if known in self.constants and self.values[value].shape == node.out.shape:
                yield value, known

    def _alone(self, value: int) -> Node | None:
        """The node that makes a value that one operator alone reads."""
        op = self.producer.get(value)
        return None if op is None or self.readers[value] > 1 else op.node

    def _sum(self, value: int, known: int, node: Node) -> int | None:
        """``(x + a) + b`` as ``x + (a + b)``."""
        inner, shift = self._alone(value), self.constants[known]
        if inner is None or inner.op != "add":
            return None
        for data, bias in (inner.args, inner.args[::-1]):
            first = self.constants.get(bias)
            if first is not None and _adds_up(first, shift):
                return self.add(Node("add", (data, self.constant(first + shift)), node.out))
        return None

    def _per_channel(self, known: int, node: Node) -> Array | None:
        """A constant that varies along the last dimension alone, as one float for each index."""
        if not node.out.shape:
            return None
        array, channels = self.constants[known], node.out.shape[-1]
        if array.dtype != np.float32 or array.size not in (1, channels):
            return None
        if array.size > 1 and (not array.shape or array.shape[-1] != channels):
            return None
        return np.broadcast_to(array.reshape(-1), (channels,))

    def _scaled(self, value: int, scale: Array) -> int | None:
        """``value * scale`` without the product; None where that cannot be."""
        node = self._alone(value)
        if node is None:
            return None
        return self._scaled_sum(node, scale) if node.op == "add" else self._product(node, scale)

    def _product(self, node: Node, scale: Array) -> int | None:
        if node.op == "multiply":
            return self._scaled_product(node, scale)
        if node.op not in ("conv2d", "matmul"):
            return None
        data, weights = node.args
        array = self.constants.get(weights)
        if array is None or array.dtype != np.float32:
            return None
        columns = array.ndim - (2 if node.attr("transpose_b") else 1)
        axis = 0 if node.op == "conv2d" else columns
        others = tuple(i for i in range(array.ndim) if i != axis)
        if not _in_range(np.abs(array).max(axis=others), scale):
            return None
        spread = scale.reshape([-1 if i == axis else 1 for i in range(array.ndim)])
        args = (data, self.constant(array * spread))
        return self.add(Node(node.op, args, node.out, node.attrs))

    def _scaled_product(self, node: Node, scale: Array) -> int | None:
        for value, known in self._with_constant(node):
            factor = self._per_channel(known, node)
            if factor is not None and _in_range(factor, scale) and np.all(factor) and np.all(scale):
                both = self._like(known, factor * scale)
                return self.add(Node("multiply", (value, both), node.out))
        return None

    def _like(self, known: int, vector: Array) -> int:
        """One number for each index of the last dimension, in the rank of another constant."""
        shape = self.values[known].shape
        return self.constant(vector.reshape((*shape[:-1], vector.size)))

    def _scaled_sum(self, node: Node, scale: Array) -> int | None:
        for value, known in self._with_constant(node):
            inner, shift = self._alone(value), self._per_channel(known, node)
            if inner is None or shift is None or not np.all(np.abs(shift) <= _MOST):
                continue
            scaled = self._product(inner, scale)
            if scaled is not None:
                return self.add(Node("add", (scaled, self._like(known, shift * scale)), node.out))
        return None


def _in_range(first: Array, second: Array) -> bool:
    """Whether the products of factors are as good as one after the other."""
    with np.errstate(all="ignore"):
        smaller = np.minimum(np.abs(first), np.abs(second))
        larger = np.maximum(np.abs(first), np.abs(second))
        kept = (smaller < _LEAST) | (smaller * larger >= _LEAST)
        return bool(np.all((larger <= _MOST) & kept))


def _adds_up(first: Array, second: Array) -> bool:
    """Whether the terms may be added before what they are added to."""
    if np.broadcast_shapes(first.shape, second.shape) not in (first.shape, second.shape):
        return False
    with np.errstate(all="ignore"):
        larger, total = np.maximum(np.abs(first), np.abs(second)), np.abs(first + second)
        share = np.where(larger > _LARGE_TERM, _SHARE_OF_LARGE, _SHARE)
        return bool(np.all((larger <= _MOST) & (total >= share * larger)))
