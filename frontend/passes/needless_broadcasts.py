"""Broadcasts that what reads them does by itself.

An operator on elements takes operands that are smaller than its result, and so does a kernel that
computes it after a product: a mask that an exporter spreads over heads is read as it is.
"""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node, ops

from ..graph import Graph, Op, Rewriter, made_by


def drop_broadcasts(graph: Graph) -> Graph:
    """A graph whose elementwise operators read what is broadcast, where others give the shape."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if not ops.of(node).is_elementwise or len(node.args) < 2:
            return None
        args = list(node.args)
        for place, arg in enumerate(args):
            above = made_by(b, arg, "broadcast_to")
            if above is None:
                continue
            given = [*args[:place], above.args[0], *args[place + 1 :]]
            if np.broadcast_shapes(*(b.values[each].shape for each in given)) == node.out.shape:
                args = given
        if args == list(node.args):
            return None
        return b.add(Node(node.op, tuple(args), node.out, node.attrs))

    return b.rewrite(rule)
