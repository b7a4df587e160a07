"""Transposed convolutions as convolutions, which have more templates: Winograd's algorithm, and
lanes that are places where results are few.

One of stride 1 is a convolution of weights in the opposite order. One of a larger stride gives, at
each place of the image, as many results as a block of ``stride`` by ``stride`` outputs has (Shi et
al. 2016, arXiv:1609.07009); of few channels these share a vector, which the channels of one output
leave idle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from luthier.schedules import Node, Tensor

from ..graph import Array, Graph, Op, Rewriter

_MOST_RESULTS = 16  # of a place: the lanes of a vector


def transposed_as_plain(graph: Graph) -> Graph:
    """A graph in which those with constant weights, and no more padding than their kernels reach,
    are ``conv2d`` where their stride is 1 or they give few channels."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if node.op != "conv2d_transpose" or op.node.args[1] not in graph.constants:
            return None
        form = _Plain(op.node, graph.values[op.node.args[0]].shape, graph.constants)
        return form.emit(b, b.at[op.node.args[0]]) if form.pays else None

    return b.rewrite(rule)


class _Plain:
    """The convolution of an image [n, h, w, c] that a ``conv2d_transpose`` is."""

    def __init__(self, node: Node, image: Sequence[int], constants: Mapping[int, Array]) -> None:
        self.node = node
        self.weights = constants[node.args[1]]  # [c, height, width, k / groups]
        self.strides, self.groups = node.attr("strides"), node.attr("groups")
        self.dilations = node.attr("dilations")
        _, *kernel, _ = self.weights.shape
        self.taps = [math.ceil(t / s) for t, s in zip(kernel, self.strides, strict=True)]
        before = node.attr("pads")[:2]  # outputs that the image's first window does not give
        first = [p // s for p, s in zip(before, self.strides, strict=True)]
        self.cut = [p % s for p, s in zip(before, self.strides, strict=True)]
        ends = zip(self.cut, node.out.shape[1:3], self.strides, strict=True)
        self.blocks = [math.ceil((cut + out) / s) for cut, out, s in ends]
        reach = [(t - 1) * d for t, d in zip(self.taps, self.dilations, strict=True)]
        self.before = [r - f for r, f in zip(reach, first, strict=True)]
        sides = zip(self.blocks, image[1:3], reach, self.before, strict=True)
        self.after = [count - size + r - p for count, size, r, p in sides]

    @property
    def pays(self) -> bool:
        """Whether it can be one, and takes no more multiplications of vectors."""
        if min(*self.before, *self.after) < 0:
            return False
        if self.strides == (1, 1):
            return True
        _, height, width, k = self.weights.shape
        fits = height >= self.strides[0] and width >= self.strides[1] and k < _MOST_RESULTS // 2
        results = k * math.prod(self.strides)
        plain = bool(self.groups == 1 and self.dilations == (1, 1))
        return plain and fits and results <= _MOST_RESULTS

    def emit(self, b: Rewriter, x: int) -> int:
        """The convolution, and its results as the image that they are."""
        node, (n, *_, k) = self.node, self.node.out.shape
        (high, wide), (down, across) = self.blocks, self.strides
        out = Tensor((n, high, wide, down * across * k), node.out.dtype)
        weights = b.constant(self._turned())
        y = b.emit(
            "conv2d",
            x,
            weights,
            out=out,
            strides=(1, 1),
            pads=(*self.before, *self.after),
            dilations=self.dilations,
            groups=self.groups,
        )
        if self.strides == (1, 1):
            return y
        y = b.reshaped(y, (n, high, wide, down, across, k))
        moved = Tensor((n, high, down, wide, across, k), node.out.dtype)
        y = b.emit("transpose", y, out=moved, axes=(0, 1, 3, 2, 4, 5))
        y = b.reshaped(y, (n, high * down, wide * across, k))
        if b.values[y].shape == node.out.shape:
            return y
        return b.emit("slice", y, out=node.out, begin=(0, *self.cut, 0), steps=(1, 1, 1, 1))

    def _turned(self) -> Array:
        """[k, height, width, c / groups] of the convolution, whose first tap is the last one here;
        what a block of outputs has of each is beside one another."""
        (c, height, width, k), (high, wide) = self.weights.shape, self.taps
        down, across = self.strides
        whole = np.zeros((c, high * down, wide * across, k), self.weights.dtype)
        whole[:, :height, :width] = self.weights
        split = whole.reshape(self.groups, c // self.groups, high, down, wide, across, k)
        turned = split[:, :, ::-1, :, ::-1].transpose(0, 3, 5, 6, 2, 4, 1)
        shape = (self.groups * down * across * k, high, wide, c // self.groups)
        return np.ascontiguousarray(turned.reshape(shape))
