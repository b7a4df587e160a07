"""Constant folding: operators whose arguments are known are computed now, in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from luthier.schedules import Node, ops
from luthier.schedules.ops.evaluate import evaluate

from ..graph import Array, Graph, Op, Rewriter, made_by
from ..graph.arrays import equal

# A result larger than this and than its arguments is left to run time (unless it takes no memory).
_LARGE = 64 << 20
_REPEATED = 1 << 12  # elements
# All constants together: this much, and this many times what the model's own take.
_TOGETHER, _TIMES = 256 << 20, 4


def fold_constants(graph: Graph) -> Graph:
    """Compute what is known; a single number that elementwise operators read becomes ``const``."""
    return _folded(graph, lambda node, found: False)


def fold_around_steps(graph: Graph) -> Graph:
    """The same, but numbers of 8 bits are not widened, be they known, and what blocks of them share
    is not repeated."""
    return _folded(graph, lambda node, found: _widens(node, found) or _repeats(node, found))


def fold_but_rows(graph: Graph) -> Graph:
    """The same, but a row of a table stays to be taken, and a number to be counted from: which one
    may follow from a size."""
    return _folded(graph, lambda node, found: _is_row(node, found) or _is_number(node))


def _is_number(node: Node) -> bool:
    return node.op == "iota" and node.out.size == 1


def _is_row(node: Node, found: Sequence[Array]) -> bool:
    if node.op != "slice" or not found or found[0].dtype.kind in "iub":
        return False
    pairs = zip(node.attr("begin"), node.out.shape, found[0].shape, strict=True)
    return any(begin > 0 and size == 1 and most > 2 for begin, size, most in pairs)


def _widens(node: Node, found: Sequence[Array]) -> bool:
    if not found or node.op not in ("cast", "dequantize"):
        return False
    return found[0].dtype.kind in "iu" and found[0].itemsize == 1 < found[0].size


def _repeats(node: Node, found: Sequence[Array]) -> bool:
    return node.op == "reshape" and 0 in found[0].strides and found[0].size > _REPEATED


def _folded(graph: Graph, stays: Callable[[Node, Sequence[Array]], bool]) -> Graph:
    b = Rewriter(graph)
    room = _TOGETHER + _TIMES * graph.given - sum(map(_memory, graph.constants.values()))

    def rule(op: Op, node: Node) -> int | None:
        nonlocal room
        if node.op == "const" or node.op not in ops.OPERATORS:
            return None
        arrays = [_known(b, a) for a in node.args]
        found = [a for a in arrays if a is not None]
        if len(found) == len(arrays):
            operator = ops.of(node)
            view = isinstance(operator, ops.Movement) and operator.is_view
            needed = 0 if view else node.out.nbytes
            large = needed > min(room, max(_LARGE, sum(a.nbytes for a in found)))
            if large or stays(node, found):
                return None
            room -= needed
            return b.constant(evaluate(node, found))
        if node.op == "gather_nd" and arrays[1] is not None:
            return _whole(b, node, arrays[1])
        if node.op == "attention":
            return b.add(_with_one_mask(b, node))
        return b.add(_with_literals(b, node)) if ops.of(node).is_elementwise else None

    return b.rewrite(rule)


def _whole(b: Rewriter, node: Node, indices: Array) -> int | None:
    """Exporters choose elements of a mask by places that name all of them in order."""
    shape, count = b.values[node.args[0]].shape, indices.shape[-1]
    if node.attr("batch_dims") or indices.size // count != math.prod(shape[:count]):
        return None
    every = np.indices(shape[:count], dtype=indices.dtype).reshape(count, -1).T
    same = np.array_equal(indices.reshape(-1, count), every)
    return b.reshaped(node.args[0], node.out.shape) if same else None


def _known(b: Rewriter, value: int) -> Array | None:
    if value in b.constants:
        return b.constants[value]
    const = made_by(b, value, "const")
    return evaluate(const, []) if const else None


def _memory(array: Array) -> int:
    """Bytes that an array takes; one that was broadcast takes few."""
    return 0 if 0 in array.strides else array.nbytes


def _with_one_mask(b: Rewriter, node: Node) -> Node:
    """A mask that is its own cover is read once."""
    mask, cover = (b.constants.get(arg) for arg in (*node.args, -1, -1)[3:5])
    if mask is None or cover is None or not equal(mask, cover):
        return node
    return replace(node, args=(*node.args[:4], node.args[3]))


def _with_literals(b: Rewriter, node: Node) -> Node:
    """Constants of one element as ``const`` nodes."""

    def read(arg: int) -> int:
        array = b.constants.get(arg)
        if array is None or array.size != 1:
            return arg
        return b.scalar(array.reshape(-1)[0], str(array.dtype))

    return replace(node, args=tuple(map(read, node.args)))
