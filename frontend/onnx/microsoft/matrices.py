"""Inverses of matrices, by elimination (Gauss and Jordan)."""

from __future__ import annotations

import math

import numpy as np

from .spelling import Operators, Results, Spelled, Spelling
from .steps import in_steps

_LARGEST = 4096


def _inverse(call: Spelling) -> Results:
    """Beside the identity, which becomes the inverse while the matrix becomes the identity."""
    shape = call.shape(call.x)
    size = shape[-1] if shape else 0
    if len(shape) < 2 or shape[-2] != size:
        raise call.unsupported(f"a matrix of the shape {list(shape)}")
    if size > _LARGEST:
        raise call.unsupported(f"a matrix of {size} rows (more than {_LARGEST})")
    count = math.prod(shape[:-2])
    if not count * size:
        return call.emit("Identity", call.x)
    unit = call.cast(call.constant(np.eye(size), "float32"), call.dtype(call.x))
    unit = call.emit("Expand", unit, call.sizes(count, size, size))
    whole = call.emit("Concat", call.reshape(call.x, count, size, size), unit, axis=2)
    columns = call.constant(np.arange(size).reshape(size, 1), "int64")

    def step(s: Spelling, before: list[str], at: list[str]) -> tuple[list[str], list[str]]:
        return [_eliminated(s, before[0], at[0])], []

    (whole,), _ = in_steps(call, [whole], [columns], step)
    return call.reshape(call.slice(whole, 2, size, 2 * size), *shape)


def _eliminated(s: Spelling, whole: str, at: str) -> str:
    """Column ``at`` [1] becomes the identity's; its largest element of the rows left is the
    pivot."""
    count, size, width = s.shape(whole)
    numbers = s.constant(np.arange(size).reshape(1, size, 1), "int64")
    own = s.emit("Equal", numbers, at)
    column = s.emit("Abs", s.emit("Gather", whole, at, axis=2))
    column = s.emit("Where", s.emit("Less", numbers, at), s.number(-1, column), column)
    best = s.emit("ArgMax", column, axis=1, keepdims=1)
    everywhere = s.emit("Expand", best, s.sizes(count, 1, width))
    row = s.emit("GatherElements", whole, everywhere, axis=1)
    row = s.emit("Div", row, s.emit("Gather", row, at, axis=2))
    first = s.emit("Gather", whole, at, axis=1)
    swapped = s.emit("Where", s.emit("Equal", numbers, best), first, whole)
    factor = s.emit("Gather", swapped, at, axis=2)
    rest = s.emit("Sub", swapped, s.emit("Mul", factor, row))
    return s.emit("Where", own, row, rest)


OPERATORS: Operators = {"Inverse": Spelled(_inverse, 1, in_steps=True, since=11, cuts=True)}
