"""Matrices of few bits stay so: products read whole numbers and their scales.

A constant of floats of 16 bits that is cast is such a matrix, too. Where a model rounds the rows to
8 bits by the matrix's blocks, products are of whole numbers.
"""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node, ops
from luthier.schedules.ir.dtype import FLOAT32

from ..graph import Array, Graph, Op, Rewriter
from .few_bits_matrix import LEAST, Coded, Matrix, coded, is_movement, matrix_of, way_from_constant
from .few_bits_rows import rows_of
from .rounded_rows import rounded_rows

_HALVES = frozenset({"float16", "bfloat16"})


def keep_few_bits(graph: Graph) -> Graph:
    """Products with such matrices become ``matmul_few_bits``, or ``matmul_few_bits_integer``; rows
    of such tables are looked up before they become floats."""
    b = Rewriter(graph)
    matrices: dict[tuple[int, bool], Coded | None] = {}

    def rule(op: Op, node: Node) -> int | None:
        if node.op == "take":
            table = _table(graph, op)
            return None if table is None else rows_of(b, node, table)
        if node.op != "matmul" or node.out.element != FLOAT32:
            return None
        left, right = op.node.args
        is_vector = len(graph.values[left].shape) < 2
        if is_vector or right in graph.constants or right not in graph.producer:
            return None
        which = right, bool(node.attr("transpose_b", False))
        if which not in matrices:
            matrices[which] = _coded(graph, *which)
        found = matrices[which]
        return None if found is None else _product(b, op, node, found)

    return b.rewrite(rule)


def _table(graph: Graph, op: Op) -> Matrix | None:
    """What rows are taken of, where floats are made of whole numbers for it."""
    data = op.node.args[0]
    if data in graph.constants or not op.node.out.element.is_float:
        return None
    return matrix_of(graph, data)


def _coded(graph: Graph, value: int, transposed: bool) -> Coded | None:
    halves = _halves(graph, value)
    if halves is not None and halves.ndim == 2 and halves.size >= LEAST:
        rows = np.ascontiguousarray(halves if transposed else halves.T)
        return Coded(rows, None, None, 16, rows.shape[1])
    matrix = matrix_of(graph, value)
    return None if matrix is None else coded(matrix if not transposed else matrix.transposed())


def _halves(graph: Graph, value: int) -> Array | None:
    """The elements of a constant of 16 bits that is cast and moved around alone."""
    way = way_from_constant(graph, value, _casts_or_moves)
    if way is None or str(graph.constants[way[0]].dtype) not in _HALVES:
        return None
    found = graph.constants[way[0]]
    for node in way[1]:
        operator = ops.of(node)
        if isinstance(operator, ops.Movement):
            found = np.asarray(operator.evaluate(node, found))  # of its own type
    return found


def _casts_or_moves(node: Node) -> bool:
    return is_movement(node) or (node.op == "cast" and node.out.dtype == "float32")


def _product(b: Rewriter, op: Op, node: Node, matrix: Coded) -> int | None:
    """Of the node's rows, or, where they were rounded, of what they were before; None where these
    were rounded by other blocks than the matrix has."""
    left = op.node.args[0]
    rounded = rounded_rows(b.graph, left)
    if rounded is None:
        return _emitted(b, "matmul_few_bits", node.args[0], node, matrix)
    shape = b.graph.values[left].shape
    divided = matrix.divided(rounded[1], shape[-1])
    if divided is None:
        return None
    rows = b.reshaped(b.at[rounded[0]], shape)
    return _emitted(b, "matmul_few_bits_integer", rows, node, divided)


def _emitted(b: Rewriter, op: str, rows: int, node: Node, matrix: Coded) -> int:
    arrays = (a for a in (matrix.codes, matrix.scales, matrix.zeros) if a is not None)
    return b.emit(
        op,
        rows,
        *(b.constant(array) for array in arrays),
        out=node.out,
        bits=matrix.bits,
        block=matrix.block,
    )
