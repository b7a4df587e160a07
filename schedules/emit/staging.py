"""Bringing operands into scratch as an instruction for narrow whole numbers reads them."""

from __future__ import annotations

import operator
from typing import Any

from ..ir.dtype import INT32, DType
from ..tir.indices import Expr, Index, ceildiv, tail
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .dot_products import DotProduct
from .tile import vector_index

_LINE = 64  # bytes of a cache line
Place = tuple[Any, Index]  # a buffer, and where something begins in it


def row_pitch(count: int, element: DType) -> int:
    """Elements from one row to the next: whole lines, an odd number of them, so that a column's
    elements lie in all sets of a cache."""
    lines = operator.index(ceildiv(element.nbytes(count), _LINE)) | 1
    return lines * _LINE // element.bytes


def copy_row(
    builder: PhaseBuilder, source: Place, target: Place, count: int, micro: DotProduct, lanes: int
) -> None:
    """As ``copy_run``, and zeros that fill the last group."""
    copy_run(builder, source, target, count, micro, lanes)
    for i in range(count, micro.blocks(count) * micro.steps):
        builder.store(target[0], target[1] + i, tirx.const(0, micro.a.name))


def copy_run(
    builder: PhaseBuilder, source: Place, target: Place, count: int, micro: DotProduct, lanes: int
) -> None:
    """``count`` neighbours, as all ``lanes`` of sums read them."""
    (old, first), (new, begin) = source, target
    for i in builder.strips(count, _lanes(micro, lanes)):
        builder.store(new, begin + i, micro.shared(builder.load(old, first + i)))


def fill_run(
    builder: PhaseBuilder, target: Place, count: int, value: int, micro: DotProduct, lanes: int
) -> None:
    """The same of as many that are all one number."""
    number = tirx.const(micro.lift + value, micro.a.name)
    for i in builder.strips(count, _lanes(micro, lanes)):
        builder.store(target[0], target[1] + i, number)


def _lanes(micro: DotProduct, lanes: int) -> int:
    return lanes * INT32.bytes // micro.a.bytes


def widen_panel(builder: PhaseBuilder, source: Place, target: Any, count: int, lanes: int) -> None:
    """``count`` packed numbers of 8 bits in 16. Those of the next panel are asked for, which come
    from memory while this one is multiplied."""

    def widen(first: Index, number: int) -> None:
        for i in builder.strips(number, 2 * lanes):
            value = builder.load(source[0], source[1] + first + i)
            builder.store(target, first + i, tirx.Cast("int16", value))

    with builder.loop(count // _LINE, "line") as line:
        first = builder.let(line * _LINE)
        builder.prefetch(source[0], source[1] + count + first, level=2)
        widen(first, _LINE)
    widen(count // _LINE * _LINE, count % _LINE)


def interleave_rows(
    builder: PhaseBuilder,
    source: Place,
    target: Any,
    extents: tuple[int, int],
    columns: tuple[int, int],
    lanes: int,
) -> None:
    """The first of so many ``columns`` of a matrix of ``extents`` (rows, columns) into a panel of a
    width, as ``pairs`` reads it: two rows at a time, column by column, in 16 bits."""
    (rows, pitch), (count, width) = extents, columns

    def pair(row: Index, target_row: Index, both: bool) -> None:
        for offset, lane_count in tail(0, count, lanes):
            at = builder.let(source[1] + row * pitch + offset)
            low = _wide(builder, source[0], at, lane_count)
            high = _zeros(lane_count)
            if both:
                high = _wide(builder, source[0], at + pitch, lane_count)
            mix(builder, target, (target_row * width + offset) * 2, (low, high), lane_count)

    with builder.loop(rows // 2, "pair") as i:
        pair(i * 2, i, both=True)
    if rows % 2:
        pair(rows - 1, rows // 2, both=False)


def mix(
    builder: PhaseBuilder, target: Any, first: Index, both: tuple[Expr, Expr], lanes: int
) -> None:
    """Store two vectors, or scalars, element by element in turns."""
    if lanes == 1:
        for i, value in enumerate(both):
            builder.store(target, first + i, value)
        return
    order = [x for i in range(lanes) for x in (i, lanes + i)]
    mixed = tirx.Shuffle(list(both), [tirx.const(i, "int32") for i in order])
    builder.store(target, vector_index(first, 2 * lanes), mixed)


def _wide(builder: PhaseBuilder, buffer: Any, first: Index, lanes: int) -> Expr:
    read = builder.load(buffer, vector_index(first, lanes))
    return builder.let(tirx.Cast("int16" if lanes == 1 else f"int16x{lanes}", read))


def _zeros(lanes: int) -> Expr:
    zero = tirx.const(0, "int16")
    return zero if lanes == 1 else tirx.Broadcast(zero, lanes)
