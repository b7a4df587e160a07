"""A product with a table that others read, transposed, reads the table itself.

Language models score words with the table of their embeddings (Press and Wolf, *Using the Output
Embedding to Improve Language Models*, 2016), as a product with its transpose. A product can read
that as it lies, and one copy does for both.
"""

from __future__ import annotations

from luthier.schedules import Node

from ..graph import Graph, Op, Rewriter
from ..graph.arrays import equal, mark


def tie_weights(graph: Graph) -> Graph:
    """Let products read constants that are there already; see the module's text."""
    b = _Tying(graph)
    return b.rewrite(b.rule)


class _Tying(Rewriter):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        matrices = ((v, array) for v, array in graph.constants.items() if array.ndim == 2)
        self.tables = {mark(array.T): value for value, array in matrices}

    def rule(self, op: Op, node: Node) -> int | None:
        weights = self.graph.constants.get(op.node.args[1]) if node.op == "matmul" else None
        if weights is None or weights.ndim != 2 or node.attr("transpose_b"):
            return None
        table = self.tables.get(mark(weights))
        if table is None or table == op.node.args[1]:
            return None
        if not equal(self.graph.constants[table].T, weights):
            return None
        left, right = node.args[0], self.at[table]
        return self.emit("matmul", left, right, out=node.out, transpose_b=True)
