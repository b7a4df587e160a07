"""What a matrix of few bits is, that a model computes of constants.

What exporters write of such a matrix, in whatever operators, is a constant of 8 bits or fewer,
cast, less zero points, times scales, and moved around. Here these are undone in NumPy, element by
element: numbers, zero points and scales go through the same movements. What then is the same along
the depth for some neighbours is a block. A matrix of which that is not so is left to constant
folding, which makes it float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from luthier.schedules import Node, ops
from luthier.schedules.ops.evaluate import evaluate
from luthier.schedules.ops.few_bits import WORD, packed

from ..graph import Array, Graph

LEAST = 1 << 14  # elements: below it a matrix is in the nearest cache either way
_BLOCKS = (256, 128, 64, 32, 16)
_STORED = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (2, 4, 8))
# How numbers may be stored: in so many bits, less so much.
_CODES = ((2, 0), (2, 2), (4, 0), (4, 8), (8, 0), (8, 128))


@dataclass(frozen=True)
class Matrix:
    """``(numbers - zeros) * scales``; the latter two broadcast, and have as many dimensions."""

    numbers: Array
    zeros: Array
    scales: Array

    def moved(self, node: Node, operator: ops.Movement) -> Matrix:
        """After a movement of data."""

        def of(array: Array) -> Array:
            if array.size == 1:
                return array.reshape((1,) * len(node.out.shape))
            wide = np.broadcast_to(array, self.numbers.shape)
            return np.asarray(operator.evaluate(node, wide))  # of its own type

        return Matrix(*(of(array) for array in (self.numbers, self.zeros, self.scales)))

    def transposed(self) -> Matrix:
        """With rows and columns exchanged."""
        return Matrix(self.numbers.T, self.zeros.T, self.scales.T)


def matrix_of(graph: Graph, value: int) -> Matrix | None:
    """What a value is, that is computed of constants alone; None where it is something else."""
    if value in graph.constants:
        return _stored(graph.constants[value])
    op = graph.producer.get(value)
    inner = matrix_of(graph, op.node.args[0]) if op is not None and op.node.args else None
    return None if op is None or inner is None else _after(graph, op.node, inner)


def _stored(array: Array) -> Matrix | None:
    if str(array.dtype) not in _STORED:
        return None
    one = np.ones((1,) * array.ndim, np.float32)
    whole = array if array.dtype in (np.int8, np.uint8) else array.astype(np.int8)
    return Matrix(whole, one * 0, one)


def _after(graph: Graph, node: Node, inner: Matrix) -> Matrix | None:
    """What becomes of a matrix by an operator; None where that is none any more."""
    if node.op == "cast" and node.out.dtype in ("float32", "int32", "int16"):
        return inner
    operator = ops.of(node)
    if isinstance(operator, ops.Movement) and len(node.args) == 1:
        return inner.moved(node, operator)
    others = [_known(graph, arg) for arg in node.args[1:]]
    known = [array.astype(np.float32) for array in others if array is not None]
    if len(known) != len(others) or inner.numbers.shape != node.out.shape:
        return None
    if node.op == "multiply":
        return replace(inner, scales=inner.scales * known[0])
    if node.op not in ("dequantize", "subtract") or not bool((inner.scales == 1).all()):
        return None
    zero, scale = (*known, inner.scales)[:2]
    scale = scale.reshape((1,) * (inner.numbers.ndim - scale.ndim) + scale.shape)
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
class Coded:
    """A matrix as ``matmul_few_bits`` takes it."""

    codes: Array
    scales: Array | None
    zeros: Array | None
    bits: int
    block: int

    def divided(self, block: int, depth: int) -> Coded | None:
        """The same in blocks of another size; None where these have several scales."""
        if self.scales is None or block * self.bits % WORD:
            return None
        if self.block % block and self.scales.shape[1] > 1:
            return None
        blocks = -(-depth // block)
        each = np.arange(blocks) * block // self.block
        zeros = None if self.zeros is None else self.zeros[:, each]
        codes = np.zeros((len(self.codes), blocks * block * self.bits // 8), np.int8)
        used = min(codes.shape[1], self.codes.shape[1])
        codes[:, :used] = self.codes[:, :used]
        return replace(self, codes=codes, scales=self.scales[:, each], zeros=zeros, block=block)


def coded(matrix: Matrix) -> Coded | None:
    """[k, n] as codes of [n, k]; None where blocks are too small, or anything is not finite."""
    numbers = matrix.numbers
    if numbers.ndim != 2 or numbers.size < LEAST:
        return None
    k, n = numbers.shape
    columns = [
        np.ascontiguousarray(np.broadcast_to(a, (1 if a.shape[0] == 1 else k, n)).T)
        for a in (matrix.zeros, matrix.scales)
    ]
    block = _block(k, columns)
    if block is None or not all(np.isfinite(a).all() for a in columns):
        return None
    blocks = -(-k // block)
    zeros, scales = (
        np.ascontiguousarray(np.broadcast_to(a[:, ::block], (n, blocks))) for a in columns
    )
    low, high = int(numbers.min()), int(numbers.max())
    bits, middle = next(
        (bits, middle)
        for bits, middle in _CODES
        if low - middle >= -(2 ** (bits - 1))
        and high - middle < 2 ** (bits - 1)
        and block * bits % WORD == 0
    )
    zeros = zeros - middle
    full = np.zeros((n, blocks * block), np.int8)
    full[:, :k] = numbers.T.view(np.int8)  # modulo 2^8, as is what is taken away
    full[:, :k] -= np.array(middle, np.uint8).view(np.int8)
    return Coded(packed(full, bits), scales, zeros if zeros.any() else None, bits, block)


def _block(k: int, columns: Iterable[Array]) -> int | None:
    """The most neighbours along K, [n, k], that have the same zero points and scales."""
    whole = -(-k // 16) * 16  # a row as one block, in whole words
    changes = np.zeros(k, bool)  # from the one before
    for array in columns:
        if array.shape[1] > 1:
            changes[1:] |= (array[:, 1:] != array[:, :-1]).any(axis=0)
    places = np.flatnonzero(changes)
    for block in (whole, *_BLOCKS):
        if block <= whole and not (places % block).any():
            return block
    return None
