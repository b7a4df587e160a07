"""Reducing one row of values to a scalar, in vectors side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np

from ..emit.builder import PhaseBuilder
from ..ir.dtype import DTYPES
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
        for offset, narrow in tail(extent // step * step, extent, width):
            with builder.vector(narrow, serial) as lane:
                add(lane, value(offset + lane))
    half = vectors * width // 2
    while half:
        for first in range(0, half, width):
            with builder.vector(min(half, width)) as lane:
                add(first + lane, builder.load(sums, first + half + lane))
        half //= 2
    return builder.let(builder.load(sums, 0))
