"""Divisions by a number before a function become multiplications by its reciprocal.

``erf(x / c)`` becomes ``erf(x * (1 / c))``: a Gelu as exporters write it. Processors multiply many
times faster than they divide, and what the reciprocal's rounding changes is less than the error
that the function itself has (``schedules/tir/mathfn.py``).
"""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node
from luthier.schedules.ir.dtype import FLOAT32

from ..graph import Array, Graph, Op, Rewriter

_FUNCTIONS = frozenset({"erf", "sigmoid", "tanh"})
_LEAST = 2.0**-100  # of divisors, and of reciprocals: both are ordinary numbers


def multiply_by_reciprocals(graph: Graph) -> Graph:
    """Change these divisions; see the module's text."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if node.op != "divide" or node.out.element != FLOAT32 or not graph.uses[op.result]:
            return None
        readers = graph.users[op.result]
        if len(readers) < graph.uses[op.result] or any(
            reader.node.op not in _FUNCTIONS for reader in readers
        ):
            return None
        divisor = _known(graph, op.node.args[1])
        if divisor is None or not _is_ordinary(np.abs(divisor)):
            return None
        factor = np.float32(1) / divisor
        known = b.constant(factor) if factor.shape else b.scalar(float(factor))
        return b.add(Node("multiply", (node.args[0], known), node.out))

    return b.rewrite(rule)


def _known(graph: Graph, value: int) -> Array | None:
    """A constant, or a number that kernels hold as a literal."""
    op = graph.producer.get(value)
    if op is not None and op.node.op == "const":
        return np.asarray(op.node.attr("value"), np.float32)
    return graph.constants.get(value)


def _is_ordinary(sizes: Array) -> bool:
    return bool(np.all((sizes >= _LEAST) & (sizes <= 1 / _LEAST)))
