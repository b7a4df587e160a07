"""Products whose operands hold numbers of bfloat16 say so.

Models in bfloat16 are computed in float32 between its roundings. Where both operands come from it,
whatever moved them since, instructions for it give the same products as those of float32.
"""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.ops.products import OF_BFLOAT16

from ..graph import Array, Graph, Op, Rewriter

_PRODUCTS = frozenset({"conv2d", "matmul", "matmul_few_bits"})
_MOVEMENTS = frozenset({"reshape", "slice", "transpose"})
_FEW = 256  # elements that are looked at first
_LOST = 0xFFFF  # bits of a float32 that bfloat16 has not


def mark_bfloat16(graph: Graph) -> Graph:
    """Set ``of_bfloat16`` of these products; see the module's text."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if node.op not in _PRODUCTS or node.out.element != FLOAT32 or node.attr(OF_BFLOAT16):
            return None
        if not all(_holds(graph, arg) for arg in op.node.args[:2]) or len(op.node.args) > 2:
            return None
        attrs = tuple(sorted((*node.attrs, (OF_BFLOAT16, True))))
        return b.add(Node(node.op, node.args, node.out, attrs))

    return b.rewrite(rule)


def _holds(graph: Graph, value: int) -> bool:
    """Whether all of a value's elements are numbers of bfloat16."""
    if value in graph.constants:
        return _are_short(graph.constants[value])
    op = graph.producer.get(value)
    if op is None:
        return False
    source = op.node.args[0] if op.node.args else value
    if op.node.op == "cast":
        return graph.values[source].dtype == "bfloat16"
    return op.node.op in _MOVEMENTS and _holds(graph, source)


def _are_short(array: Array) -> bool:
    if array.dtype.name == "bfloat16":
        return True
    if array.dtype != np.float32:
        return False
    flat = array.reshape(-1)
    return not any((some.view(np.uint32) & _LOST).any() for some in (flat[:_FEW], flat))
