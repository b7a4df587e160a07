"""Columns of a row-major matrix as vectors, read and written a square at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from ..ir.dtype import FLOAT32
from ..target.target import Target
from ..tir.elements import element_of
from ..tir.indices import Expr, Index, ceildiv
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .tile import splat, vector_index

_SIDE_BYTES = 16  # of what instructions shuffle at once, in wider vectors too
_WIDEST_BYTES = 32  # of vectors that are worth shuffling


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


def side(size: int, target: Target) -> int:
    """Rows of squares that are best transposed at once, of elements of ``size`` bytes."""
    widest = min(target.vector_bytes, _WIDEST_BYTES) if size >= FLOAT32.bytes else _SIDE_BYTES
    return widest // size


def fitting(most: int, size: int) -> int:
    """The largest power of two that is neither above ``most``, which is one, nor above ``size``."""
    while most > 1 and size < most:
        most //= 2
    return most


def transposed(builder: PhaseBuilder, vectors: Sequence[Expr], lanes: int) -> list[Expr]:
    """Vectors of ``lanes`` lanes, transposed: as many as there were lanes, of as many lanes as
    there were vectors. Both are powers of two.

    Interleaving the upper half with the lower one again and again (Eklundh, *A Fast Computer Method
    for Matrix Transposing*, 1972): single elements within 128 bits, where processors have one
    instruction for it, and then these as wholes.
    """
    count = len(vectors)
    if count > lanes:  # rows side by side in one vector
        whole = [vectors[i::lanes] for i in range(lanes)]
        joined = [_shuffled(builder, some, range(count)) for some in whole]
        return _turned(builder, joined, count, 1)
    side = min(count, max(1, _SIDE_BYTES // element_of(vectors[0]).bytes))
    parts = [
        _turned(builder, vectors[i : i + side], lanes, 1) for i in range(0, count, side)
    ]  # with columns in groups of ``side``, one group in each 128 bits
    rows = [_turned(builder, [part[i] for part in parts], lanes, side) for i in range(side)]
    groups, repeats = count // side, lanes // count
    if repeats == 1:
        return [rows[i][group] for group in range(groups) for i in range(side)]
    return [
        _shuffled(builder, [rows[i][group]], range(repeat * count, (repeat + 1) * count))
        for repeat in range(repeats)
        for group in range(groups)
        for i in range(side)
    ]


def interleaved(builder: PhaseBuilder, vectors: Sequence[Expr], lanes: int) -> list[Expr]:
    """The first lanes of all vectors, the second ones, and so on, as as many vectors again.

    The number of vectors is odd or a power of two; the number of lanes is a power of two.
    """
    count = len(vectors)
    if count % 2 == 0:
        rows = list(vectors)
        for _ in range(count.bit_length() - 1):
            pairs = zip(rows[: count // 2], rows[count // 2 :], strict=True)
            rows = [x for a, b in pairs for x in _interleaved(builder, a, b, lanes, 1, lanes)]
        return rows
    # Each vector's lanes go where they are in some result, so that results are blends.
    inverse = pow(count, -1, lanes)
    moved = [
        _shuffled(builder, [vector], [(place - i) * inverse % lanes for place in range(lanes)])
        for i, vector in enumerate(vectors)
    ]
    return [
        _blended(builder, moved, [(i * lanes + place) % count for place in range(lanes)])
        for i in range(count)
    ]


def deinterleaved(builder: PhaseBuilder, vectors: Sequence[Expr], lanes: int) -> list[Expr]:
    """What ``interleaved`` makes the given vectors of."""
    count = len(vectors)
    if count % 2 == 0:
        rows = list(vectors)
        for _ in range(count.bit_length() - 1):
            even, odd = range(0, 2 * lanes, 2), range(1, 2 * lanes, 2)
            pairs = list(zip(rows[::2], rows[1::2], strict=True))
            rows = [_shuffled(builder, pair, half) for half in (even, odd) for pair in pairs]
        return rows
    inverse, found = pow(lanes, -1, count), []
    for i in range(count):
        # Place p of vector v has element v * lanes + p, which is of result i where this is i.
        holder = [(i - place) * inverse % count for place in range(lanes)]
        blend = _blended(builder, vectors, holder)
        found.append(_shuffled(builder, [blend], [(count * k + i) % lanes for k in range(lanes)]))
    return found


def _blended(builder: PhaseBuilder, vectors: Sequence[Expr], holder: Sequence[int]) -> Expr:
    """Of each lane that of vector ``holder[lane]``."""
    lanes, found = len(holder), vectors[0]
    for i, vector in enumerate(vectors[1:], 1):
        order = [lanes + lane if held == i else lane for lane, held in enumerate(holder)]
        found = _shuffled(builder, [found, vector], order)
    return found


def _turned(builder: PhaseBuilder, vectors: Sequence[Expr], lanes: int, unit: int) -> list[Expr]:
    """Vectors of which each square of as many units, of ``unit`` lanes each, was transposed."""
    rows, block = list(vectors), len(vectors) * unit
    for _ in range(len(rows).bit_length() - 1):
        pairs = zip(rows[: len(rows) // 2], rows[len(rows) // 2 :], strict=True)
        rows = [x for a, b in pairs for x in _interleaved(builder, a, b, lanes, unit, block)]
    return rows


def lane_sums(builder: PhaseBuilder, vectors: Sequence[Expr], lanes: int) -> Expr:
    """The sums of ``lanes`` vectors' lanes (a power of two), that of vector i in lane i.

    As ``transposed``, but what would be added afterwards is added at once.
    """
    rows = list(vectors)
    while len(rows) > 1:
        pairs = zip(rows[: len(rows) // 2], rows[len(rows) // 2 :], strict=True)
        halves = (_interleaved(builder, a, b, lanes, 1, lanes) for a, b in pairs)
        rows = [builder.let(low + high) for low, high in halves]
    return rows[0]


def folded(
    builder: PhaseBuilder, vector: Expr, lanes: int, combine: Callable[[Expr, Expr], Expr]
) -> Expr:
    """What ``combine`` makes of a vector's lanes (a power of two): of its halves, again and
    again."""
    while lanes > 1:
        lanes //= 2
        halves = (range(lanes), range(lanes, 2 * lanes))
        vector = builder.let(combine(*(_shuffled(builder, [vector], half) for half in halves)))
    return vector


def each_lane_sum(builder: PhaseBuilder, vectors: Sequence[Expr], lanes: int) -> Any:
    """An array of the sums of vectors' lanes, of any number of them."""
    held = builder.local(ceildiv(len(vectors), lanes) * lanes)
    zero = splat(tirx.const(0.0, "float32"), lanes)
    for first in range(0, len(vectors), lanes):
        some = list(vectors[first : first + lanes])
        some += [zero] * (lanes - len(some))
        builder.store(held, vector_index(first, lanes), lane_sums(builder, some, lanes))
    return held


def _interleaved(
    builder: PhaseBuilder, a: Expr, b: Expr, lanes: int, unit: int, block: int
) -> tuple[Expr, Expr]:
    """Within each block, the lower halves of two vectors, unit by unit in turns, and the upper."""
    low = [
        lane + vector * lanes
        for first in range(0, lanes, block)
        for begin in range(first, first + block // 2, unit)
        for vector in (0, 1)
        for lane in range(begin, begin + unit)
    ]
    return _shuffled(builder, [a, b], low), _shuffled(
        builder, [a, b], [x + block // 2 for x in low]
    )


def _shuffled(builder: PhaseBuilder, vectors: Sequence[Expr], order: Sequence[int]) -> Expr:
    """The lanes of the vectors, one after another, in an order."""
    indices = [tirx.const(i, "int32") for i in order]
    return builder.let(tirx.Shuffle(list(vectors), indices))


def load_columns(
    builder: PhaseBuilder,
    rows: Rows,
    lanes: int,
    finish: Callable[[Index, Expr], None],
    load: Callable[[Any, Index, int], Expr] | None = None,
) -> None:
    """Call ``finish(column, vector)`` for all columns; lanes without a row hold zeros, or the last
    row again where the number of rows is known only at run time. ``load`` gives so many neighbours
    of a buffer as floats, where it does not hold floats.
    """
    zero = tirx.const(0.0, "float32")
    read = load or (lambda buffer, at, width: builder.load(buffer, vector_index(at, width)))

    def row(i: int, column: Index, width: int) -> Expr:
        if isinstance(rows.count, int) and i >= rows.count:
            return splat(zero, width)
        place = i if isinstance(rows.count, int) else tirx.min(i, rows.count - 1)
        at = rows.start + place * rows.stride + column
        return builder.let(read(rows.buffer, at, width))

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
    builder: PhaseBuilder,
    rows: Rows,
    lanes: int,
    vector: Callable[[Index], Expr],
    change: Callable[[Expr, int], Expr] = lambda value, lanes: value,
) -> None:
    """Write ``vector(column)`` of all columns, once so many neighbours of a row are changed; lanes
    without a row are not written."""
    whole = rows.columns // lanes
    if whole:
        with builder.loop(whole, "square") as square:
            first = builder.let(square * lanes)
            vectors = [builder.let(vector(first + i)) for i in range(lanes)]
            for i, row in enumerate(transposed(builder, vectors, lanes)):
                at = rows.start + i * rows.stride + first
                with _if_row(builder, rows, i) as there:
                    if there:
                        builder.store(rows.buffer, vector_index(at, lanes), change(row, lanes))

    def alone(column: Index) -> None:
        local = builder.local(lanes)
        builder.store(local, vector_index(0, lanes), vector(column))
        for i in range(lanes):
            at = rows.start + i * rows.stride + column
            with _if_row(builder, rows, i) as there:
                if there:
                    builder.store(rows.buffer, at, change(builder.load(local, i), 1))

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
