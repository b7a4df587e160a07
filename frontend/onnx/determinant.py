"""ONNX's determinants of small matrices."""

from __future__ import annotations

import math

import numpy as np

from luthier.schedules import ModelError

from ..composites import movement
from ..graph.emitter import Emitter
from .node import OnnxNode, Operator
from .reduce import place

_LARGEST = 32


def _det(node: OnnxNode) -> int:
    """By elimination, the largest element of a column being the pivot."""
    t, size = node.t, node.shape[-1] if node.rank else 0
    if node.rank < 2 or node.shape[-2] != size:
        raise ModelError(f"{node.label}: {list(node.shape)} is no square matrix")
    if size > _LARGEST:
        raise node.unsupported(f"a matrix of {size} rows (more than {_LARGEST})")
    count = math.prod(node.shape[:-2])
    matrix = t.reshape(node.x, (count, size, size))
    found = t.broadcast(t.number(1, node.dtype), (count, 1, 1))
    for _ in range(size - 1):
        pivot, matrix = _eliminated(t, matrix)
        found = t.emit("multiply", found, pivot)
    return t.reshape(t.emit("multiply", found, matrix), node.shape[:-2])


def _eliminated(t: Emitter, matrix: int) -> tuple[int, int]:
    """The pivot with its sign, and the matrix without its column and its row."""
    count, size, _ = t.shape(matrix)
    column = movement.strided_slice(t, matrix, [2], [(0, 1, 1)])
    best = place(t, t.emit("abs", column), 1, "max", last=False)
    row = t.emit("take_along", matrix, t.broadcast(best, (count, 1, size)), axis=1)
    pivot = movement.strided_slice(t, row, [2], [(0, 1, 1)])
    # The first row takes the pivot's place.
    first = movement.strided_slice(t, matrix, [1], [(0, 1, 1)])
    numbers = t.constant(np.arange(size, dtype=np.int32).reshape(1, size, 1))
    moved = t.emit("where", t.emit("equal", numbers, best), first, matrix)
    rest = movement.strided_slice(t, moved, [1], [(1, size, 1)])
    left, right = (
        movement.strided_slice(t, rest, [2], [bounds]) for bounds in ((0, 1, 1), (1, size, 1))
    )
    nothing = t.emit("equal", pivot, t.literal(0, pivot))
    factor = t.emit("divide", left, t.emit("where", nothing, t.number(1, t.dtype(pivot)), pivot))
    tail = movement.strided_slice(t, row, [2], [(1, size, 1)])
    smaller = t.emit("subtract", right, t.emit("multiply", factor, tail))
    swapped = t.emit("not_equal", best, t.number(0, "int32"))
    return t.emit("where", swapped, t.emit("negative", pivot), pivot), smaller


OPERATORS: dict[str, Operator] = {"Det": Operator(_det, in_steps=True, of_floats=True)}
