"""Reducing rows of values to scalars, in vectors side by side: one row, or as many as lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from ..emit.builder import PhaseBuilder
from ..emit.lanes import transposed
from ..emit.tile import vector_index
from ..ir.dtype import DTYPES
from ..ir.size import Size
from ..tir.compare import extreme
from ..tir.indices import Expr, Index, tail
from ..tir.literals import constant, storage
from ..tvm_late import tirx

Combine = Callable[[Expr, Expr], Expr]


def combine(op: str) -> Combine:
    """How two values are reduced to one; NaN wins in maximum and minimum, as in NumPy, but loses in
    "max_number"."""
    if op == "prod":
        return lambda a, b: a * b
    if op in ("sum", "mean"):
        return lambda a, b: a + b
    if op == "max_number":
        return lambda a, b: tirx.Select(a < b, b, a)
    return partial(extreme, op)


def identity(op: str, dtype: str) -> Expr:
    """The value that changes nothing."""
    if op == "prod":
        return constant(1, dtype)
    if op in ("sum", "mean"):
        return constant(0, dtype)
    if DTYPES[dtype].is_float:
        return constant(np.inf if op == "min" else -np.inf, dtype)
    limits = np.iinfo(storage(dtype))
    return constant(int(limits.min if op == "max" else limits.max), dtype)


def reduce_row(
    builder: PhaseBuilder,
    extent: int,
    lanes: int,
    op: str,
    dtype: str,
    value: Callable[[Index], Expr],
    loops: Callable[[], ExitStack] = ExitStack,
    *,
    again: bool = False,
) -> Expr:
    """``value(0) .. value(extent - 1)`` reduced to one scalar; ``loops`` repeats it, joined.

    Where a value may be computed ``again``, the last ones are in one vector with some before them.
    """
    sums, width = _in_one_vector(builder, extent, lanes, op, dtype, value, loops, again)
    join, half = combine(op), width // 2
    while half:
        with builder.vector(half) as lane:
            upper = builder.let(builder.load(sums, half + lane))
            builder.store(sums, lane, join(builder.load(sums, lane), upper))
        half //= 2
    return builder.let(builder.load(sums, 0))


def reduce_rows(
    builder: PhaseBuilder,
    extent: int,
    lanes: int,
    op: str,
    dtype: str,
    row_value: Callable[[Index], Callable[[Index], Expr]],
    loops: Callable[[], ExitStack] = ExitStack,
    *,
    again: bool = False,
) -> Any:
    """As many rows as lanes, each reduced; a local array of the scalars.

    ``row_value`` begins a row, and gives its values; ``loops`` repeats all rows, joined. Each row's
    vector is joined with those of the others once for all of them, where a row by itself would take
    a step for each halving. The extent is a number, not less than ``lanes``.
    """
    join = combine(op)
    rows = builder.local(lanes * lanes, storage(dtype))
    with builder.loop(lanes, "row") as row, builder.vector(lanes) as lane:
        builder.store(rows, row * lanes + lane, identity(op, dtype))
    with loops(), builder.loop(lanes, "row") as row:
        value = row_value(row)
        sums, _ = _in_one_vector(builder, extent, lanes, op, dtype, value, ExitStack, again)
        with builder.vector(lanes) as lane:
            more, at = builder.load(sums, lane), row * lanes + lane
            builder.store(rows, at, join(builder.load(rows, at), more))
    columns = turned(builder, rows, lanes, dtype)
    return _joined_columns(builder, columns, lanes, op, dtype)


def turned(builder: PhaseBuilder, rows: Any, lanes: int, dtype: str) -> Any:
    """A local square of ``lanes`` rows, transposed into another one."""
    columns = builder.local(lanes * lanes, storage(dtype))
    vectors = [
        builder.let(builder.load(rows, vector_index(i * lanes, lanes))) for i in range(lanes)
    ]
    for i, vector in enumerate(transposed(builder, vectors, lanes)):
        builder.store(columns, vector_index(i * lanes, lanes), vector)
    return columns


def _joined_columns(builder: PhaseBuilder, columns: Any, lanes: int, op: str, dtype: str) -> Any:
    """Vectors of a square pairwise, so that none waits for all the others."""
    join, count = combine(op), lanes
    while count > 1:
        count //= 2
        for i in range(count):
            with builder.vector(lanes) as lane:
                upper = builder.let(builder.load(columns, (count + i) * lanes + lane))
                old = builder.load(columns, i * lanes + lane)
                builder.store(columns, i * lanes + lane, join(old, upper))
    return columns


def _in_one_vector(
    builder: PhaseBuilder,
    extent: int,
    lanes: int,
    op: str,
    dtype: str,
    value: Callable[[Index], Expr],
    loops: Callable[[], ExitStack],
    again: bool,
) -> tuple[Any, int]:
    """A row reduced to one vector: a local array, and how many of its first elements that is."""
    start, join = identity(op, dtype), combine(op)
    if isinstance(extent, Size):
        vectors, width = 4, lanes
    else:
        vectors = 4 if extent >= 4 * lanes else max(1, min(2, extent // lanes))
        width = min(lanes, 2 ** (extent.bit_length() - 1))
    sums = builder.local(vectors * width, storage(dtype))
    for i in range(vectors * width):
        builder.store(sums, i, start)
    step = vectors * width

    def add(slot: Index, term: Expr) -> None:
        builder.store(sums, slot, join(builder.load(sums, slot), builder.let(term)))

    with loops():
        with builder.loop(extent // step, "block") as block:
            for v in range(vectors):
                with builder.vector(width) as lane:
                    add(v * width + lane, value(block * step + v * width + lane))
        for lane, column, is_new in _rest(builder, extent, step, width, again):
            term = value(column)
            if is_new is not None:
                term = tirx.Select(is_new, builder.let(term), start)
            add(lane, term)
    while vectors > 1:
        vectors //= 2
        for first in range(0, vectors * width, width):
            with builder.vector(width) as lane:
                add(first + lane, builder.load(sums, vectors * width + first + lane))
    return sums, width


def _rest(
    builder: PhaseBuilder, extent: int, step: int, width: int, again: bool
) -> Iterator[tuple[Index, Index, Expr | None]]:
    """(lane, element, whether it is new, if some are not) of the elements after the last step, in
    vectors; of an extent that is known only at run time vectors of one width, then one by one."""
    first = extent // step * step
    if not isinstance(extent, Size):
        parts, full = tail(first, extent, width), extent // width * width
        if again and len([lanes for _, lanes in parts if lanes < width]) > 1:
            parts = [*tail(first, full, width), (extent - width, width)]
        for i, (offset, lanes) in enumerate(parts):
            slot = i * width % step  # none waits for the one before
            old = full - offset if offset < full < offset + lanes else 0
            with builder.vector(lanes) as lane:
                yield slot + lane, offset + lane, lane >= old if old else None
        return
    whole = extent % step // width
    with builder.loop(whole, "vector") as i, builder.vector(width) as lane:
        yield lane, first + i * width + lane, None
    if extent % width != 0:
        with builder.loop(extent % width, "rest") as i:
            yield 0, extent // width * width + i, None
