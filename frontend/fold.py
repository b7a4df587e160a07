"""Constant folding: operators whose arguments are known are computed now, in NumPy."""

from __future__ import annotations

from luthier.schedules import Node, ops
from luthier.schedules.workload import DTYPE_BYTES

from .evaluate import can_evaluate, evaluate
from .graph import Array, Graph, Op, Rewriter, literal

# A result larger than this and than its arguments is left to run time (unless it takes no memory).
_LARGE = 64 << 20
_VIEWS = ("broadcast_to", "transpose", "reshape")


def fold_constants(graph: Graph) -> Graph:
    """Compute what is known; a single number that elementwise operators read becomes ``const``."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if node.op == "const" or not can_evaluate(node.op):
            return None
        arrays = [_known(b, a) for a in node.args]
        found = [a for a in arrays if a is not None]
        if len(found) == len(arrays):
            return b.constant(evaluate(node, found)) if _worth(node, found) else None
        return b.add(_with_literals(b, node)) if node.op in ops.ELEMENTWISE else None

    return b.rewrite(rule)


def _known(b: Rewriter, value: int) -> Array | None:
    if value in b.constants:
        return b.constants[value]
    op = b.producer.get(value)
    return evaluate(op.node, []) if op is not None and op.node.op == "const" else None


def _worth(node: Node, args: list[Array]) -> bool:
    nbytes = node.out.size * DTYPE_BYTES[node.out.dtype]
    return node.op in _VIEWS or nbytes <= max(_LARGE, sum(a.nbytes for a in args))


def _with_literals(b: Rewriter, node: Node) -> Node:
    """Constants of one element as ``const`` nodes."""
    args = []
    for arg in node.args:
        array = b.constants.get(arg)
        if array is not None and array.size == 1:
            dtype = str(array.dtype)
            value = literal(array.reshape(-1)[0], dtype)
            arg = b.scalar(value, dtype)  # type: ignore[arg-type]  # noqa: PLW2901
        args.append(arg)
    return Node(node.op, tuple(args), node.out, node.attrs)
