"""Reducing one row of values to a scalar, in vectors side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import numpy as np

from ..emit.builder import PhaseBuilder
from ..ir.dtype import DTYPES
from ..ir.size import Size
from ..tir.compare import extreme
from ..tir.indices import Expr, Index, tail
from ..tir.literals import constant, storage

Combine = Callable[[Expr, Expr], Expr]


def combine(op: str) -> Combine:
    """How two values are reduced to one; NaN wins in maximum and minimum, as in NumPy."""
    if op == "prod":
        return lambda a, b: a * b
    if op in ("sum", "mean"):
        return lambda a, b: a + b
    return partial(extreme, op)


def identity(op: str, dtype: str) -> Expr:
    """The value that changes nothing."""
    if op == "prod":
        return constant(1, dtype)
    if op in ("sum", "mean"):
        return constant(0, dtype)
    if DTYPES[dtype].is_float:
        return constant(-np.inf if op == "max" else np.inf, dtype)
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
    serial: bool = False,
) -> Expr:
    """``value(0) .. value(extent - 1)`` reduced to one scalar; ``loops`` repeats it, joined."""
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
                with builder.vector(width, serial) as lane:
                    add(v * width + lane, value(block * step + v * width + lane))
        for lane, column in _rest(builder, extent, step, width, serial):
            add(lane, value(column))
    half = vectors * width // 2
    while half:
        for first in range(0, half, width):
            with builder.vector(min(half, width)) as lane:
                add(first + lane, builder.load(sums, first + half + lane))
        half //= 2
    return builder.let(builder.load(sums, 0))


def _rest(
    builder: PhaseBuilder, extent: int, step: int, width: int, serial: bool
) -> Iterator[tuple[Index, Index]]:
    """(lane, element) of the elements after the last step, in vectors; of an extent that is known
    only at run time vectors of one width, then one by one."""
    first = extent // step * step
    if not isinstance(extent, Size):
        for offset, narrow in tail(first, extent, width):
            with builder.vector(narrow, serial) as lane:
                yield lane, offset + lane
        return
    whole = extent % step // width
    with builder.loop(whole, "vector") as i, builder.vector(width, serial) as lane:
        yield lane, first + i * width + lane
    if extent % width != 0:
        with builder.loop(extent % width, "rest") as i:
            yield 0, extent // width * width + i
