"""Group normalisation as exporters spell it: an instance normalisation between two reshapes.

PyTorch writes ``GroupNorm`` as ``reshape(instance_norm(reshape(x, (N, groups, -1))), x.shape)``. It
becomes one operator over the channels of ``x``, wherever these lie in memory.
"""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node

from ..graph import Graph, Op, Rewriter, made_by


def join_group_norms(graph: Graph) -> Graph:
    """The reshapes go; to be called before layouts are chosen."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        return _joined(b, node) if node.op == "reshape" else None

    return b.rewrite(rule)


def _joined(b: Rewriter, outer: Node) -> int | None:
    """``outer`` reshapes a transposed group_norm back to what was reshaped before it."""
    chain = [outer]
    for op in ("transpose", "group_norm", "transpose", "reshape"):
        above = made_by(b, chain[-1].args[0], op)
        if above is None:
            return None
        chain.append(above)
    _, _, norm, _, inner = chain
    x = inner.args[0]
    shape = b.values[x].shape
    groups, parameters = norm.attr("groups"), [b.constants.get(a) for a in norm.args[1:]]
    if (
        outer.out.shape != shape
        or len(shape) < 3
        or inner.out.shape[:2] != (shape[0], groups)
        or norm.out.shape[-1] != groups
        or shape[1] % groups
        or any(p is None for p in parameters)
    ):
        return None
    rank = len(shape)
    last = b.emit("transpose", x, axes=(0, *range(2, rank), 1))
    known = [b.constant(np.repeat(p, shape[1] // groups)) for p in parameters if p is not None]
    y = b.emit("group_norm", last, *known, groups=groups, epsilon=norm.attr("epsilon"))
    return b.emit("transpose", y, axes=(0, rank - 1, *range(1, rank - 1)))
