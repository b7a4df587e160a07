"""Scales behind a convolution or product move into its weights, as batch normalisation's do.

``(conv(x, w) + b) * s`` becomes ``conv(x, w * s) + b * s`` where ``w``, ``b`` and ``s`` are known,
``s`` has one number for each output channel, and nobody else sees what is scaled (Jacob et al.
2018, *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference*, section 3.2). ``(x * a + b) * s`` becomes ``x * (a * s) + b * s`` likewise, and
``(x + a) + b`` becomes ``x + (a + b)``.
"""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node

from .graph import Array, Graph, Op, Rewriter


def fold_scales(graph: Graph) -> Graph:
    """Multiply weights by what scales their product; see the module's text."""
    return _ScaleFolding(graph).run()


class _ScaleFolding(Rewriter):
    def run(self) -> Graph:
        return self.rewrite(self._rule)

    def _rule(self, op: Op, node: Node) -> int | None:
        if node.op == "multiply":
            return self._folded(op)
        return self._added(op, node) if node.op == "add" else None

    def _added(self, op: Op, node: Node) -> int | None:
        """One sum in place of two, where nobody else sees the first."""
        for old, new, known in zip(op.node.args, node.args, node.args[::-1], strict=True):
            if known in self.constants and self.graph.uses[old] == 1:
                return self._sum(new, known, node)
        return None

    def _sum(self, value: int, known: int, node: Node) -> int:
        """``node`` as the sum of a value that it alone sees and a constant."""
        inner, shift = self.producer.get(value), self.constants[known]
        if inner is not None and inner.node.op == "add":
            for data, bias in (inner.node.args, inner.node.args[::-1]):
                first = self.constants.get(bias)
                if first is None:
                    continue
                total = first + shift
                if total.size == max(first.size, shift.size):
                    return self.add(Node("add", (data, self.constant(total)), node.out))
        return self.add(Node("add", (value, known), node.out))

    def _folded(self, op: Op) -> int | None:
        for scaled, factor in (op.node.args, op.node.args[::-1]):
            scale = self._per_channel(factor, op.node.out.shape[-1])
            if scale is not None and self.graph.values[scaled].shape == op.node.out.shape:
                return self._scaled(scaled, scale)
        return None

    def _per_channel(self, old: int, channels: int) -> Array | None:
        """A constant that varies along the last dimension alone, as one float for each index."""
        array = self.graph.constants.get(old)
        if array is None or array.dtype != np.float32 or array.size not in (1, channels):
            return None
        if array.size > 1 and (not array.shape or array.shape[-1] != channels):
            return None
        return np.broadcast_to(array.reshape(-1), (channels,))

    def _scaled(self, old: int, scale: Array) -> int | None:
        """``old * scale`` without the product; None where that cannot be."""
        op = self.graph.producer.get(old)
        if op is None or self.graph.uses[old] != 1:
            return None
        if op.node.op == "add":
            return self._scaled_sum(op.node, scale)
        if op.node.op == "multiply":
            return self._scaled_product(op.node, scale)
        if op.node.op not in ("conv2d", "matmul"):
            return None
        data, weights = op.node.args
        array = self.graph.constants.get(weights)
        if array is None or array.dtype != np.float32:
            return None
        if op.node.op == "conv2d":
            array = array * scale.reshape(-1, 1, 1, 1)
        elif op.node.attr("transpose_b"):
            array = array * scale.reshape(-1, 1)
        else:
            array = array * scale
        args = (self.at[data], self.constant(array))
        return self.add(Node(op.node.op, args, op.node.out, op.node.attrs))

    def _scaled_product(self, node: Node, scale: Array) -> int | None:
        for scaled, factor in (node.args, node.args[::-1]):
            inner = self._per_channel(factor, node.out.shape[-1])
            if inner is None or self.graph.values[scaled].shape != node.out.shape:
                continue
            inside = self._scaled(scaled, inner * scale)
            if inside is not None:
                return inside
            both = self._like(factor, inner * scale)
            return self.add(Node("multiply", (self.at[scaled], both), node.out))
        return None

    def _like(self, old: int, vector: Array) -> int:
        """One number for each index of the last dimension, in the rank of an old constant."""
        shape = self.graph.values[old].shape
        return self.constant(vector.reshape((*shape[:-1], vector.size)))

    def _scaled_sum(self, node: Node, scale: Array) -> int | None:
        for product, bias in (node.args, node.args[::-1]):
            shift = self._per_channel(bias, node.out.shape[-1])
            if shift is None or self.graph.values[product].shape != node.out.shape:
                continue
            scaled = self._scaled(product, scale)
            if scaled is not None:
                return self._sum(scaled, self._like(bias, shift * scale), node)
        return None
