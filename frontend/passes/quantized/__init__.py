"""Quantised layers stay quantised: products of what is stored, and whatever moves it.

The pairs of a quantised model say what numbers stand for. Where all that a layer reads is stored in
few bits, it reads that, and what follows (bias, residual, activation, quantisation) is elementwise,
so that fusion makes one kernel of it (Jacob et al. 2018, *Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference*, section 2). It does not matter how a
model spells them: a value's *image* is found through casts, differences and products.
"""

from __future__ import annotations

from luthier.schedules import Node

from ...graph import Graph, Op
from ..fold_constants import fold_around_steps
from .canvas import Canvas
from .division import divide
from .image import Image, number
from .products import product
from .rules import RULES
from .windows import enlarged, mean_of_windows

_MARKS = frozenset({"conv2d_integer", "dequantize", "matmul_integer", "quantize"})
_PRODUCTS = frozenset({"conv2d", "conv2d_integer", "matmul", "matmul_integer"})
_WINDOWS = {"avg_pool2d": mean_of_windows, "conv2d_transpose": enlarged}
# What may stand between a product of activations and its quantisation.
_BETWEEN = frozenset({"add", "divide", "multiply", "reshape", "transpose"})


def stay_quantized(graph: Graph) -> Graph:
    """A graph that computes with whole numbers what it can; see the module's text."""
    if not any(op.node.op in _MARKS for op in graph.ops):
        return graph
    b = _Quantized(fold_around_steps(graph))
    return b.rewrite(b.rule)


class _Quantized(Canvas):
    def rule(self, op: Op, node: Node) -> int | None:
        if node.op in _PRODUCTS:
            return self._product(op, node)
        if node.op in _WINDOWS:
            return _WINDOWS[node.op](self, node)
        if node.op == "divide":
            rescales = node.args[0] in self.images or self._is_quantized(op)
            return divide(self, node) if rescales else None
        return RULES[node.op](self, node) if node.op in RULES else None

    def _product(self, op: Op, node: Node) -> int | None:
        value = product(self, node, is_quantised=self._ends_quantized(op))
        if value is None and node.op.endswith("_integer"):
            rank = len(node.out.shape)
            return self.keep(
                node, Image(self.add(node), "int32", number(0, rank), number(1.0, rank))
            )
        return value

    def _is_quantized(self, op: Op) -> bool:
        """Whether all that read it quantise it."""
        users = self.graph.users[op.result]
        return bool(users) and all(user.node.op == "quantize" for user in users)

    def _ends_quantized(self, op: Op) -> bool:
        """Whether one operator after another leads to a quantisation."""
        while True:
            users = self.graph.users[op.result]
            if len(users) != 1:
                return False
            if users[0].node.op == "quantize":
                return True
            if users[0].node.op not in _BETWEEN:
                return False
            op = users[0]
