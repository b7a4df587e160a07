"""Columns of a row-major matrix as vectors, read and written a square at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from ..tir.indices import Expr, Index, ceildiv
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .tile import splat, vector_index


@dataclass(frozen=True)
class Rows:
    """``count`` rows of ``columns`` elements; row i begins at ``start + i * stride``.

    A count that is known only at run time may be more than lanes, and zero or less: rows that are
    not there are then the last one, which lies before the start.
    """

    buffer: Any
    start: Index
    stride: Index
    count: Index
    columns: Index


def transposed(builder: PhaseBuilder, vectors: Sequence[Expr], lanes: int) -> list[Expr]:
    """A square of ``lanes`` vectors with ``lanes`` lanes each (a power of two), transposed.

    Interleaving the upper half with the lower one log2(lanes) times (Eklundh, *A Fast Computer
    Method for Matrix Transposing*, 1972).
    """
    rows, count = list(vectors), 1
    while count < lanes:
        pairs = zip(rows[: lanes // 2], rows[lanes // 2 :], strict=True)
        rows = [x for a, b in pairs for x in _interleaved(builder, a, b, lanes)]
        count *= 2
    return rows


def lane_sums(builder: PhaseBuilder, vectors: Sequence[Expr], lanes: int) -> Expr:
    """The sums of ``lanes`` vectors' lanes (a power of two), that of vector i in lane i.

    As ``transposed``, but what would be added afterwards is added at once.
    """
    rows = list(vectors)
    while len(rows) > 1:
        pairs = zip(rows[: len(rows) // 2], rows[len(rows) // 2 :], strict=True)
        halves = (_interleaved(builder, a, b, lanes) for a, b in pairs)
        rows = [builder.let(low + high) for low, high in halves]
    return rows[0]


def each_lane_sum(builder: PhaseBuilder, vectors: Sequence[Expr], lanes: int) -> Any:
    """An array of the sums of vectors' lanes, of any number of them."""
    held = builder.local(ceildiv(len(vectors), lanes) * lanes)
    zero = splat(tirx.const(0.0, "float32"), lanes)
    for first in range(0, len(vectors), lanes):
        some = list(vectors[first : first + lanes])
        some += [zero] * (lanes - len(some))
        builder.store(held, vector_index(first, lanes), lane_sums(builder, some, lanes))
    return held


def _interleaved(builder: PhaseBuilder, a: Expr, b: Expr, lanes: int) -> tuple[Expr, Expr]:
    """The lower halves of two vectors, lane by lane in turns, and the upper ones."""
    low = [x for i in range(lanes // 2) for x in (i, lanes + i)]

    def shuffled(order: Sequence[int]) -> Expr:
        return builder.let(tirx.Shuffle([a, b], [tirx.const(i, "int32") for i in order]))

    return shuffled(low), shuffled([x + lanes // 2 for x in low])


def load_columns(
    builder: PhaseBuilder, rows: Rows, lanes: int, finish: Callable[[Index, Expr], None]
) -> None:
    """Call ``finish(column, vector)`` for all columns; lanes without a row hold zeros, or the last
    row again where the number of rows is known only at run time.
    """
    zero = tirx.const(0.0, "float32")

    def row(i: int, column: Index, width: int) -> Expr:
        if isinstance(rows.count, int) and i >= rows.count:
            return splat(zero, width)
        place = i if isinstance(rows.count, int) else tirx.min(i, rows.count - 1)
        at = rows.start + place * rows.stride + column
        return builder.let(builder.load(rows.buffer, vector_index(at, width)))

    whole = rows.columns // lanes
    if whole:
        with builder.loop(whole, "square") as square:
            first = builder.let(square * lanes)
            vectors = [row(i, first, lanes) for i in range(lanes)]
            for i, vector in enumerate(transposed(builder, vectors, lanes)):
                finish(first + i, vector)

    def alone(column: Index) -> None:
        local = builder.local(lanes)
        for i in range(lanes):
            builder.store(local, i, row(i, column, 1))
        finish(column, builder.load(local, vector_index(0, lanes)))

    _each_of_the_last(builder, rows.columns, lanes, alone)


def store_columns(
    builder: PhaseBuilder, rows: Rows, lanes: int, vector: Callable[[Index], Expr]
) -> None:
    """Write ``vector(column)`` of all columns; lanes without a row are not written."""
    whole = rows.columns // lanes
    if whole:
        with builder.loop(whole, "square") as square:
            first = builder.let(square * lanes)
            vectors = [builder.let(vector(first + i)) for i in range(lanes)]
            for i, row in enumerate(transposed(builder, vectors, lanes)):
                at = rows.start + i * rows.stride + first
                with _if_row(builder, rows, i) as there:
                    if there:
                        builder.store(rows.buffer, vector_index(at, lanes), row)

    def alone(column: Index) -> None:
        local = builder.local(lanes)
        builder.store(local, vector_index(0, lanes), vector(column))
        for i in range(lanes):
            at = rows.start + i * rows.stride + column
            with _if_row(builder, rows, i) as there:
                if there:
                    builder.store(rows.buffer, at, builder.load(local, i))

    _each_of_the_last(builder, rows.columns, lanes, alone)


def _each_of_the_last(
    builder: PhaseBuilder, columns: Index, lanes: int, alone: Callable[[Index], None]
) -> None:
    """Columns behind the last whole square, in a loop where their number is known at run time."""
    whole = columns // lanes * lanes
    if isinstance(columns, int):
        for column in range(whole, columns):
            alone(column)
    else:
        with builder.loop(columns - whole, "column") as rest:
            alone(builder.let(whole + rest))


def _if_row(builder: PhaseBuilder, rows: Rows, index: int) -> AbstractContextManager[bool]:
    """Around what is written of a row: whether there is one, or a branch that finds out."""
    if isinstance(rows.count, int):
        return nullcontext(index < rows.count)
    return builder.when(tirx.const(index, "int32") < rows.count)
