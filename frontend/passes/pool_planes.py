"""Pools between transposes take each channel's plane as an image of its own.

Where both what a pool reads and what it gives lie channels first, its neighbours do: each plane is
then an image of one channel, and nothing is moved.
"""

from __future__ import annotations

from luthier.schedules import Node, Tensor, ops

from ..composites.windows import TO_NCHW, TO_NHWC
from ..graph import Graph, Op, Rewriter, made_by

_FEWEST = 8  # outputs of a row: vectors of rows of fewer are short


def pool_planes(graph: Graph) -> Graph:
    """A graph whose pools are of planes where transposes stood on both sides."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if node.op != "transpose" or node.attr("axes") != TO_NCHW:
            return None
        pool = graph.producer.get(op.node.args[0])
        if pool is None or not isinstance(ops.of(pool.node), ops.Pool):
            return None
        before = made_by(graph, pool.node.args[0], "transpose")
        if before is None or before.attr("axes") != TO_NHWC or graph.uses[pool.result] > 1:
            return None
        n, c, high, wide = node.out.shape
        if wide < _FEWEST or node.out.dtype not in ("float16", "float32"):
            return None
        _, _, *sizes = graph.values[before.args[0]].shape
        planes = b.reshaped(b.at[before.args[0]], (n * c, *sizes, 1))
        out = Tensor((n * c, high, wide, 1), node.out.dtype)
        pooled = b.emit(pool.node.op, planes, out=out, **dict(pool.node.attrs))
        return b.reshaped(pooled, node.out.shape)

    return b.rewrite(rule)
