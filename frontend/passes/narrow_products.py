"""Products with few columns, whose lanes would be idle: along the depth, which has more of them.

One column is the sum of each row's products with it. Of two to four columns the transposed product
is as many rows by a matrix that lies in the order of its columns, which is read as it lies.
"""

from __future__ import annotations

import math

import numpy as np

from luthier.schedules import Node
from luthier.schedules.ir.dtype import FLOAT32

from ..graph import Graph, Op, Rewriter

_FEW = 4  # columns
_LANES = 8  # that no depth is left over from
_LEAST_ROWS = 16  # that make it worth while to move what comes out


def narrow_products(graph: Graph) -> Graph:
    """Let lanes be elements of the depth; see the module's text."""
    b = _Narrow(graph)
    return b.rewrite(b.rule)


class _Narrow(Rewriter):
    def rule(self, op: Op, node: Node) -> int | None:
        if node.op != "matmul" or node.attr("transpose_b") or node.out.element != FLOAT32:
            return None
        columns, depth = node.out.shape[-1], self.values[node.args[0]].shape[-1]
        if 0 in (*node.out.shape, depth):
            return None
        if columns == 1:
            return self._sum(node)
        return self._transposed(node) if columns <= _FEW and depth % _LANES == 0 else None

    def _sum(self, node: Node) -> int:
        """Of a[..., M, K] times b[..., K, 1] as [..., 1, K]."""
        a, b = node.args
        *batch, depth, _ = self.values[b].shape
        products = self.emit("multiply", a, self.reshaped(b, (*batch, 1, depth)))
        axis = len(self.values[products].shape) - 1
        return self.emit("sum", products, axes=(axis,), keepdims=True)

    def _transposed(self, node: Node) -> int | None:
        """(b.T a.T).T of a[..., M, K], and of one b[K, N] or of as many as there are of a."""
        a, b = node.args
        *batch, _, _ = self.values[b].shape
        if batch and batch != list(self.values[a].shape[:-2]):
            return None
        last = len(batch)
        rows = node.out.shape[-2] if batch else math.prod(node.out.shape[:-1])
        if rows < _LEAST_ROWS:
            return None
        swap = (*range(last), last + 1, last)
        known = self.constants.get(b)
        if known is None:
            few = self.emit("transpose", b, axes=swap)
        else:
            few = self.constant(np.ascontiguousarray(known.transpose(swap)))
        left = self.reshaped(a, (*batch, rows, self.values[a].shape[-1]))
        y = self.emit("matmul", few, left, transpose_b=True)
        return self.reshaped(self.emit("transpose", y, axes=swap), node.out.shape)
