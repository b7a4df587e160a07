"""Arithmetic of indices, which are numbers or TensorIR expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.size import Size, ceildiv
from ..tvm_late import tirx

__all__ = ["ceildiv", "divide", "extent", "modulo", "split_index", "tail"]

Expr = Any  # a TensorIR expression
Index = Any  # an int or an int32 TensorIR expression


def tail(begin: int, end: int, lanes: int) -> list[tuple[int, int]]:
    """(offset, width) of the vectors that cover ``begin..end``, widths halving from ``lanes``."""
    parts = []
    while begin < end:
        while lanes > end - begin:
            lanes //= 2
        parts.append((begin, lanes))
        begin += lanes
    return parts


def split_index(index: Index, extents: Sequence[int]) -> list[Index]:
    """Coordinates of a flat non-negative index in a box, outermost first."""
    coordinates: list[Index] = []
    for position, extent in enumerate(reversed(extents)):
        outermost = position == len(extents) - 1
        if extent == 1:
            coordinates.append(0)
        elif outermost:
            coordinates.append(index)
        else:
            coordinates.append(modulo(index, extent))
            index = divide(index, extent)
    return coordinates[::-1]


def divide(index: Index, divisor: int) -> Index:
    """``index // divisor`` for a non-negative index."""
    if divisor == 1:
        return index
    return index // divisor if isinstance(index, int | Size) else tirx.truncdiv(index, divisor)


def modulo(index: Index, divisor: int) -> Index:
    """``index % divisor`` for a non-negative index."""
    if divisor == 1:
        return 0
    return index % divisor if isinstance(index, int | Size) else tirx.truncmod(index, divisor)


def extent(first: Index, block: int, total: int) -> Index:
    """How many of ``total`` the block that begins at ``first`` has: fewer at the end."""
    return block if total % block == 0 else tirx.min(block, total - first)
