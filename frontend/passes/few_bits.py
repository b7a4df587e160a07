"""Matrices of few bits stay so: products read whole numbers and their scales.

What exporters write of such a matrix, in whatever operators, is a constant of 8 bits or fewer,
cast, less zero points, times scales, and moved around. Here these are undone in NumPy, element by
element: numbers, zero points and scales go through the same movements. What then is the same along
the depth for some neighbours is a block. A matrix of which that is not so is left to constant
folding, which makes it float32. A constant of floats of 16 bits that is cast is such a matrix, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from luthier.schedules import Node, ops
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.ops.evaluate import evaluate
from luthier.schedules.ops.few_bits import packed

from ..graph import Array, Graph, Op, Rewriter

_BLOCKS = (256, 128, 64, 32, 16)
_STORED = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (2, 4, 8))
_HALVES = frozenset({"float16", "bfloat16"})
_LEAST = 1 << 14  # elements: below it a matrix is in the nearest cache either way


def keep_few_bits(graph: Graph) -> Graph:
    """Products with such matrices become ``matmul_few_bits``; see the module's text."""
    b = Rewriter(graph)
    found: dict[int, _Coded | None] = {}

    def rule(op: Op, node: Node) -> int | None:
        if node.op != "matmul" or node.out.element != FLOAT32:
            return None
        right = op.node.args[1]
        if right in graph.constants or right not in graph.producer:
            return None
        if len(graph.values[op.node.args[0]].shape) < 2:
            return None
        transposed = bool(node.attr("transpose_b", False))
        if right not in found:
            found[right] = _halves_coded(graph, right, transposed) or _numbers_coded(
                graph, right, transposed
            )
        coded = found[right]
        return None if coded is None else _product(b, node, coded)

    return b.rewrite(rule)


@dataclass(frozen=True)
class _Matrix:
    """``(numbers - zeros) * scales``; the latter two broadcast."""

    numbers: Array
    zeros: Array
    scales: Array

    def moved(self, node: Node) -> _Matrix:
        """After a movement of data."""
        shape = self.numbers.shape
        wide = (self.numbers, *(np.broadcast_to(a, shape) for a in (self.zeros, self.scales)))
        return _Matrix(*(np.asarray(evaluate(node, [array])) for array in wide))

    def transposed(self) -> _Matrix:
        """With rows and columns exchanged."""
        shape = self.numbers.shape
        wide = (np.broadcast_to(a, shape).T for a in (self.zeros, self.scales))
        return _Matrix(self.numbers.T, *wide)


def _matrix(graph: Graph, value: int) -> _Matrix | None:
    """What a value is, that is computed of constants alone; None where it is something else."""
    if value in graph.constants:
        return _stored(graph.constants[value])
    op = graph.producer.get(value)
    inner = _matrix(graph, op.node.args[0]) if op is not None and op.node.args else None
    return None if op is None or inner is None else _after(graph, op.node, inner)


def _stored(array: Array) -> _Matrix | None:
    if str(array.dtype) not in _STORED:
        return None
    one = np.ones((1,) * array.ndim, np.float32)
    return _Matrix(array.astype(np.int16), one * 0, one)


def _after(graph: Graph, node: Node, inner: _Matrix) -> _Matrix | None:
    """What becomes of a matrix by an operator; None where that is none any more."""
    if node.op == "cast" and node.out.dtype in ("float32", "int32", "int16"):
        return inner
    if isinstance(ops.of(node), ops.Movement) and len(node.args) == 1:
        return inner.moved(node)
    others = [_known(graph, arg) for arg in node.args[1:]]
    known = [array.astype(np.float32) for array in others if array is not None]
    if len(known) != len(others) or inner.numbers.shape != node.out.shape:
        return None
    if node.op == "multiply":
        return replace(inner, scales=inner.scales * known[0])
    if node.op not in ("dequantize", "subtract") or not bool((inner.scales == 1).all()):
        return None
    zero, scale = (*known, inner.scales)[:2]
    return replace(inner, zeros=inner.zeros + zero, scales=scale)


def _known(graph: Graph, value: int) -> Array | None:
    """The elements of a value that is computed of constants alone."""
    if value in graph.constants:
        return graph.constants[value]
    op = graph.producer.get(value)
    if op is None or op.node.op not in ops.OPERATORS or math.prod(op.node.out.shape) > 1 << 26:
        return None
    arrays = [_known(graph, arg) for arg in op.node.args]
    known = [array for array in arrays if array is not None]
    return np.asarray(evaluate(op.node, known)) if len(known) == len(arrays) else None


@dataclass(frozen=True)
class _Coded:
    """A matrix as ``matmul_few_bits`` takes it."""

    codes: Array
    scales: Array | None
    zeros: Array | None
    bits: int
    block: int


def _halves_coded(graph: Graph, value: int, transposed: bool) -> _Coded | None:
    """Of floats of 16 bits."""
    array = _halves(graph, value)
    if array is None or array.ndim != 2 or array.size < _LEAST:
        return None
    rows = np.ascontiguousarray(array if transposed else array.T)
    return _Coded(rows, None, None, 16, rows.shape[1])


def _halves(graph: Graph, value: int) -> Array | None:
    """The elements of a constant of 16 bits that is cast and moved around alone."""
    if value in graph.constants:
        array = graph.constants[value]
        return array if str(array.dtype) in _HALVES else None
    op = graph.producer.get(value)
    if op is None or len(op.node.args) != 1:
        return None
    inner = _halves(graph, op.node.args[0])
    if inner is None or (op.node.op == "cast" and op.node.out.dtype == "float32"):
        return inner
    operator = ops.of(op.node)
    if not isinstance(operator, ops.Movement):
        return None
    return np.asarray(operator.evaluate(op.node, inner))  # of its own type


def _numbers_coded(graph: Graph, value: int, transposed: bool) -> _Coded | None:
    """Of whole numbers."""
    matrix = _matrix(graph, value)
    if matrix is None:
        return None
    return _coded(matrix.transposed() if transposed else matrix)


def _coded(matrix: _Matrix) -> _Coded | None:
    """[k, n] as codes of [n, k]; None where blocks are too small, or anything is not finite."""
    numbers = matrix.numbers
    if numbers.ndim != 2 or numbers.size < _LEAST:
        return None
    k, n = numbers.shape
    columns = [
        np.ascontiguousarray(np.broadcast_to(a, (k, n)).T) for a in (matrix.zeros, matrix.scales)
    ]
    block = _block(k, *columns)
    if block is None or not all(np.isfinite(a).all() for a in columns):
        return None
    zeros, scales = (np.ascontiguousarray(a[:, ::block]) for a in columns)
    rows = np.ascontiguousarray(numbers.T)
    low, high = int(rows.min()), int(rows.max())
    bits, middle = next(
        (bits, middle)
        for bits, middle in ((4, 0), (4, 8), (8, 0), (8, 128))
        if low - middle >= -(2 ** (bits - 1)) and high - middle < 2 ** (bits - 1)
    )
    zeros -= middle
    full = np.zeros((n, scales.shape[1] * block), np.int8)
    full[:, :k] = rows - middle
    return _Coded(packed(full, bits), scales, zeros if zeros.any() else None, bits, block)


def _block(k: int, *columns: Array) -> int | None:
    """The most neighbours along K, [n, k], that have the same zero points and scales."""
    whole = -(-k // 8) * 8  # a row as one block, in whole words
    for block in (whole, *_BLOCKS):
        if block <= whole and all(_is_same(array, block) for array in columns):
            return block
    return None


def _is_same(array: Array, block: int) -> bool:
    """Whether each block of columns repeats its first."""
    first = np.repeat(array[:, ::block], block, axis=1)[:, : array.shape[1]]
    return bool((array == first).all())


def _product(b: Rewriter, node: Node, coded: _Coded) -> int:
    arrays = (a for a in (coded.codes, coded.scales, coded.zeros) if a is not None)
    return b.emit(
        "matmul_few_bits",
        node.args[0],
        *(b.constant(array) for array in arrays),
        out=node.out,
        bits=coded.bits,
        block=coded.block,
    )
