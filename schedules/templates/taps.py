"""The taps of one row of a window, written out for a tile of outputs, each channel by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..emit.tile import RegisterTile, vector_index
from ..tir.indices import Expr, Index
from .window import Axis, ColumnTile

Combine = Callable[[Expr, Expr, Expr | None], Expr]  # of a sum, an input and its weight


@dataclass(frozen=True)
class Vectors:
    """Rows of channels: the first begins at ``first`` and the next ``pitch`` elements later."""

    buffer: Any
    first: Index
    pitch: int


def multiply_add(old: Expr, value: Expr, weight: Expr | None) -> Expr:
    """What a convolution makes of a tap."""
    return old + value * weight


def add_taps(
    register: RegisterTile,
    tile: ColumnTile,
    columns: Axis,
    source: Vectors,
    weights: Vectors | None,
    combine: Combine = multiply_add,
) -> None:
    """Combine each tap with every output of the tile that has it.

    ``source`` begins at the first output's first tap, be it outside of the input; ``weights`` has
    one row for each tap. Neighbouring outputs share what they load.
    """
    for tap, outputs in enumerate(tile.taps):
        for part, (column, lanes) in enumerate(register.parts):

            def load(rows: Vectors, number: int, column: int = column, lanes: int = lanes) -> Expr:
                index = rows.first + number * rows.pitch + column
                return register.builder.load(rows.buffer, vector_index(index, lanes))

            weight = None if weights is None else load(weights, tap)
            for output in outputs:
                value = load(source, output * columns.stride + tap * columns.dilation)
                register.update(output, part, lambda old: combine(old, value, weight))  # noqa: B023
