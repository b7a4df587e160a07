"""Inverses of matrices, by elimination (Gauss and Jordan)."""

from __future__ import annotations

import math

import numpy as np

from .spelling import Operators, Results, Spelled, Spelling

_LARGEST = 32


def _inverse(call: Spelling) -> Results:
    """Beside the identity, which becomes the inverse while the matrix becomes the identity."""
    shape = call.shape(call.x)
    size = shape[-1] if shape else 0
    if len(shape) < 2 or shape[-2] != size:
        raise call.unsupported(f"a matrix of the shape {list(shape)}")
    if size > _LARGEST:
        raise call.unsupported(f"a matrix of {size} rows (more than {_LARGEST})")
    count = math.prod(shape[:-2])
    unit = call.cast(call.constant(np.eye(size), "float32"), call.dtype(call.x))
    unit = call.emit("Expand", unit, call.sizes(count, size, size))
    whole = call.emit("Concat", call.reshape(call.x, count, size, size), unit, axis=2)
    for step in range(size):
        whole = _eliminated(call, whole, step)
    return call.reshape(call.slice(whole, 2, size, 2 * size), *shape)


def _eliminated(call: Spelling, whole: str, step: int) -> str:
    """One column becomes the identity's; its largest element of the rows left is the pivot."""
    count, size, width = call.shape(whole)
    rows = np.arange(size).reshape(1, size, 1)
    numbers, own = call.constant(rows, "int64"), call.constant(rows == step, "bool")
    column = call.emit("Abs", call.slice(whole, 2, step, step + 1))
    if step:
        before = call.constant(rows < step, "bool")
        column = call.emit("Where", before, call.number(-1, column), column)
    best = call.emit("ArgMax", column, axis=1, keepdims=1)
    everywhere = call.emit("Expand", best, call.sizes(count, 1, width))
    row = call.emit("GatherElements", whole, everywhere, axis=1)
    row = call.emit("Div", row, call.slice(row, 2, step, step + 1))
    swapped = call.emit(
        "Where", call.emit("Equal", numbers, best), call.slice(whole, 1, step, step + 1), whole
    )
    factor = call.slice(swapped, 2, step, step + 1)
    rest = call.emit("Sub", swapped, call.emit("Mul", factor, row))
    return call.emit("Where", own, row, rest)


OPERATORS: Operators = {"Inverse": Spelled(_inverse, 1, in_steps=True, since=11)}
