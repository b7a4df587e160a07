"""Bringing operands into scratch as an instruction for narrow whole numbers reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.dtype import INT32, DType
from ..tir.indices import Expr, Index, ceildiv, tail
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .dot_product import DotProduct
from .tile import vector_index

_LINE = 64  # bytes of a cache line
Place = tuple[Any, Index]  # a buffer, and where something begins in it


def row_pitch(count: int, element: DType) -> int:
    """Elements from one row to the next: whole lines, an odd number of them, so that a column's
    elements lie in all sets of a cache."""
    lines = ceildiv(element.nbytes(count), _LINE)
    return (lines + 1 - lines % 2) * (_LINE // element.bytes)


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


def widen_panel(
    builder: PhaseBuilder,
    source: Place,
    target: Any,
    count: int,
    lanes: int,
    following: int | None = None,
) -> None:
    """``count`` packed numbers of 8 bits in 16. Those of the next panel, which lie right after, or
    so many later, are asked for, which come from memory while this one is multiplied."""
    later = count if following is None else following

    def widen(first: Index, number: int) -> None:
        for i in builder.strips(number, 2 * lanes):
            value = builder.load(source[0], source[1] + first + i)
            builder.store(target, first + i, tirx.Cast("int16", value))

    with builder.loop(count // _LINE, "line") as line:
        first = builder.let(line * _LINE)
        builder.prefetch(source[0], source[1] + later + first, level=2)
        widen(first, _LINE)
    widen(count // _LINE * _LINE, count % _LINE)


def interleave_rows(
    builder: PhaseBuilder,
    source: Place,
    target: Any,
    extents: tuple[int, int],
    columns: tuple[int, int],
    micro: DotProduct,
    lanes: int,
) -> None:
    """The first of so many ``columns`` of a matrix of ``extents`` (rows, columns) into a panel of a
    width, as ``micro`` reads it: a group of rows at a time, column by column."""
    (rows, pitch), (count, width), steps = extents, columns, micro.steps
    pieces = tail(0, count, lanes)
    sums = builder.local(count, INT32.name) if micro.lifted else None
    for offset, some in pieces if micro.lifted else ():
        builder.store(sums, vector_index(offset, some), _zeros(some, INT32.name))

    def group(index: Index, present: int) -> None:
        for offset, some in pieces:
            at = builder.let(source[1] + index * (steps * pitch) + offset)
            values = [
                _read(builder, source[0], at + i * pitch, some, micro) for i in range(present)
            ]
            values += [_zeros(some, micro.b.name)] * (steps - present)
            place = micro.header(width) + (index * width + offset) * steps
            mix(builder, target, place, values, some)
            if micro.lifted:
                wide = [tirx.Cast(_of("int16", some), value) for value in values]
                total = tirx.Cast(_of(INT32.name, some), wide[0] + wide[1] + (wide[2] + wide[3]))
                here = vector_index(offset, some)
                builder.store(sums, here, builder.load(sums, here) + total)

    with builder.loop(rows // steps, "group") as i:
        group(i, steps)
    if rows % steps:
        group(rows // steps, rows % steps)
    for offset, some in pieces if micro.lifted else ():
        start = micro.lowered(builder.load(sums, vector_index(offset, some)), some)
        units = some * INT32.bytes // micro.element.bytes
        builder.store(target, vector_index(micro.header(offset), units), start)


def mix(
    builder: PhaseBuilder, target: Any, first: Index, vectors: Sequence[Expr], lanes: int
) -> None:
    """Store vectors, or scalars, element by element in turns."""
    count = len(vectors)
    if lanes == 1:
        for i, value in enumerate(vectors):
            builder.store(target, first + i, value)
        return
    order = [vector * lanes + lane for lane in range(lanes) for vector in range(count)]
    mixed = tirx.Shuffle(list(vectors), [tirx.const(i, "int32") for i in order])
    builder.store(target, vector_index(first, count * lanes), mixed)


def _read(builder: PhaseBuilder, buffer: Any, first: Index, lanes: int, micro: DotProduct) -> Expr:
    read = builder.load(buffer, vector_index(first, lanes))
    return builder.let(tirx.Cast(_of(micro.b.name, lanes), read))


def _zeros(lanes: int, dtype: str) -> Expr:
    zero = tirx.const(0, dtype)
    return zero if lanes == 1 else tirx.Broadcast(zero, lanes)


def _of(dtype: str, lanes: int) -> str:
    return dtype if lanes == 1 else f"{dtype}x{lanes}"
