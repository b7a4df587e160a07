"""Layer and RMS normalisation as exporters spell them, from a mean to a shift: one operator each.

The pass goes in steps that are right by themselves: ``x / sqrt(mean(x * x) + e)`` is an RMS
normalisation with a scale of ones; where ``x`` is ``y - mean(y)``, it is a layer normalisation of
``y``; and scales and shifts after it are taken in.
"""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node
from luthier.schedules.ir.dtype import FLOAT32

from ..graph import Graph, Op, Rewriter, known_number, made_by


def find_normalizations(graph: Graph) -> Graph:
    """To be called once layouts are chosen: what is over channels is over the last axis then."""
    b = _Search(graph)
    return b.rewrite(b.rule)


class _Search(Rewriter):
    def rule(self, op: Op, node: Node) -> int | None:
        rules = {"multiply": self._product, "divide": self._quotient, "add": self._sum}
        if node.out.element != FLOAT32 or node.op not in rules:
            return None
        found = rules[node.op](op, node)
        # Constants of more dimensions add to the result's.
        same = found is not None and self.values[found].shape == node.out.shape
        return found if same else None

    # From the roots.

    def _product(self, op: Op, node: Node) -> int | None:
        for x, scale in (node.args, node.args[::-1]):
            root = self._inverse_of(scale)
            found = None if root is None else self._normalized(x, root)
            if found is not None:
                return found
        return self._absorbed(op, node, 1, 1)

    def _quotient(self, op: Op, node: Node) -> int | None:
        x, divisor = node.args
        root = self._root_of(divisor)
        return None if root is None else self._normalized(x, root)

    def _inverse_of(self, value: int) -> int | None:
        """``v`` where the value is ``1 / sqrt(v)``, however it is written."""
        if root := made_by(self, value, "rsqrt"):
            return root.args[0]
        node = made_by(self, value, "divide")
        if node is not None and known_number(self, node.args[0]) == 1:
            return self._root_of(node.args[1])
        return self._power_of(value, -0.5)

    def _root_of(self, value: int) -> int | None:
        """``v`` where the value is ``sqrt(v)``."""
        node = made_by(self, value, "sqrt")
        return node.args[0] if node is not None else self._power_of(value, 0.5)

    def _power_of(self, value: int, exponent: float) -> int | None:
        node = made_by(self, value, "power")
        if node is not None and known_number(self, node.args[1]) == exponent:
            return node.args[0]
        return None

    def _normalized(self, x: int, radicand: int) -> int | None:
        """The operator for ``x / sqrt(radicand)``."""
        total = made_by(self, radicand, "add")
        if total is None:
            return None
        for value, number in (total.args, total.args[::-1]):
            epsilon, mean = known_number(self, number), made_by(self, value, "mean")
            if epsilon is not None and mean is not None and self._is_square(mean.args[0], x):
                return self._emitted(x, mean, epsilon)
        return None

    def _is_square(self, value: int, x: int) -> bool:
        product = made_by(self, value, "multiply")
        return self._power_of(value, 2) == x or (product is not None and product.args == (x, x))

    def _emitted(self, x: int, mean: Node, epsilon: float) -> int | None:
        shape, axes = self.values[x].shape, mean.attr("axes")
        if axes != tuple(range(len(shape) - len(axes), len(shape))) or not mean.attr("keepdims"):
            return None
        ones = self.constant(np.ones(shape[axes[0] :], np.float32))
        centred = made_by(self, x, "subtract")
        if centred is not None and self._is_mean(centred.args[1], centred.args[0], mean):
            zeros = self.constant(np.zeros(shape[axes[0] :], np.float32))
            return self.emit("layer_norm", centred.args[0], ones, zeros, epsilon=epsilon)
        return self.emit("rms_norm", x, ones, epsilon=epsilon)

    def _is_mean(self, value: int, x: int, like: Node) -> bool:
        """Whether the value is the mean of ``x`` over the same axes."""
        node = made_by(self, value, "mean")
        return node is not None and node.args == (x,) and node.attrs == like.attrs

    # What follows.

    def _sum(self, op: Op, node: Node) -> int | None:
        return self._absorbed(op, node, 2, 0)

    def _absorbed(self, op: Op, node: Node, index: int, neutral: int) -> int | None:
        """A scale of ones, or shift of zeros, becomes what is multiplied with, or added.

        It is the norm's argument ``index``. A scale after a shift is not taken in.
        """
        for here, there in ((0, 1), (1, 0)):
            norm = self._norm(op.node.args[here], node.args[here], node)
            if norm is None or len(norm.args) <= index:
                continue
            if not self._is_all(norm.args[index], neutral):
                continue
            if any(not self._is_all(shift, 0) for shift in norm.args[2:]):
                continue
            parameter = self._parameter(node.args[there], norm)
            if parameter is not None:
                args = (*norm.args[:index], parameter, *norm.args[index + 1 :])
                return self.add(Node(norm.op, args, norm.out, norm.attrs))
        return None

    def _norm(self, old: int, value: int, user: Node) -> Node | None:
        """The normalisation that makes a value that nobody else uses, of the user's shape."""
        found = self.producer.get(value)
        if found is None or found.node.op not in ("layer_norm", "rms_norm"):
            return None
        alone = self.graph.uses[old] == 1 and user.out.shape == found.node.out.shape
        return found.node if alone else None

    def _is_all(self, value: int, number: float) -> bool:
        array = self.constants.get(value)
        return array is not None and bool((array == number).all())

    def _parameter(self, value: int, norm: Node) -> int | None:
        """A known value in the shape of the normalisation's parameters."""
        array, wanted = self.constants.get(value), self.values[norm.args[1]].shape
        if array is None or array.size != int(np.prod(wanted)):
            return None
        spread = (1,) * (len(array.shape) - len(wanted)) + wanted
        return self.constant(array.reshape(wanted)) if array.shape == spread else None
