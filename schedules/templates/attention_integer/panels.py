"""Matrices as instructions that add up several products read them, in a worker's scratch.

One of ``depth`` by ``columns`` lies as [panel][groups of the depth][column of a panel][group]. What
it is multiplied with is shared by all lanes. In pairs of 16 bits zero points are taken from both.
In fours of 8 bits what all lanes share has no sign, and both have zero points. As
``sum((a - za) * (b - zb)) = sum(a * b) - za * sum(b) - zb * sum(a) + depth * za * zb``, each column
has a number that its sums start from, and each row has one that is added to all of them. Numbers
that are stored with the other kind of sign lie 128 higher or lower, as do their zero points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...emit import dot_products
from ...emit.builder import PhaseBuilder
from ...emit.dot_product import DotProduct
from ...emit.lanes import interleaved, lane_sums, transposed
from ...emit.tile import RegisterTile, splat, vector_index
from ...ir.dtype import DType, Kind
from ...ir.size import Size
from ...tir.indices import Expr, Index, ceildiv, divide, modulo, tail
from ...tir.literals import constant
from ...tvm_late import tirx

FOUR = 4
_LIFT = 128
_ONES = 0x01010101


def unsigned(zero: int, element: DType) -> int:
    """A zero point of numbers that are lifted where they have a sign."""
    return zero + _LIFT if element.kind is Kind.INT else zero


def signed(zero: int, element: DType) -> int:
    """A zero point of numbers that are lowered where they have no sign."""
    return zero if element.kind is Kind.INT else zero - _LIFT


def shared(value: Expr, element: DType, zero: int, micro: DotProduct) -> Expr:
    """A number of 8 bits with a zero point as all lanes share it."""
    if micro.steps != FOUR:
        wide = tirx.Cast("int16", value)
        return wide - constant(zero, "int16") if zero else wide
    if element.kind is Kind.INT:
        value = tirx.bitwise_xor(value, constant(-_LIFT, "int8"))
    return tirx.Cast("uint8", value)


@dataclass(frozen=True)
class Rows:
    """Of 8 bits in a buffer: where the first begins, and elements from one to the next."""

    buffer: Any
    start: Index
    stride: Index
    element: DType


@dataclass(frozen=True)
class Panels:
    """In the buffers ``numbers`` and ``starts``, as ``micro`` reads them. ``zero`` is of the matrix
    where it comes from, ``other`` that of what it is multiplied with, as it lies."""

    builder: PhaseBuilder
    numbers: Any
    starts: Any
    depth: int
    columns: int
    width: int  # columns of a panel
    lanes: int
    micro: DotProduct
    zero: int
    other: int

    @property
    def left(self) -> int:
        """The zero point of the matrix as it lies."""
        return self.zero if self._steps == FOUR else 0

    @property
    def _steps(self) -> int:
        return self.micro.steps

    @property
    def _groups(self) -> int:
        return ceildiv(self.depth, self._steps)

    def _place(self, group: Index, column: Index) -> Index:
        panel = divide(column, self.width) * self._groups + group
        return (panel * self.width + modulo(column, self.width)) * self._steps

    def _read(self, source: Rows, first: Index, lanes: int) -> Expr:
        """Neighbours in a row of the source, as they lie in panels."""
        read = self.builder.load(source.buffer, vector_index(first, lanes))
        if self._steps != FOUR:
            wide = tirx.Cast(_vector("int16", lanes), read)
            return wide - splat(constant(self.zero, "int16"), lanes) if self.zero else wide
        value = _as(_vector("int8", lanes), read)
        if source.element.kind is Kind.INT:
            return value
        return tirx.bitwise_xor(value, splat(constant(-_LIFT, "int8"), lanes))

    def bring_columns(self, source: Rows) -> None:
        """Each row of the source, of whole groups, is a column. Where their number is known only at
        run time, the last one is repeated until vectors are full."""
        if isinstance(self.columns, Size):
            with self.builder.loop(ceildiv(self.columns, self.lanes), "columns") as i:
                self._columns(source, self.builder.let(i * self.lanes), self.lanes)
            self._begin()
            return
        full, rest = divmod(self.columns, self.lanes)
        with self.builder.loop(full, "columns") as i:
            self._columns(source, self.builder.let(i * self.lanes), self.lanes)
        if rest:
            self._columns(source, full * self.lanes, rest)
        self._begin()

    def _columns(self, source: Rows, first: Index, count: int) -> None:
        """As many as lanes, of which the first ``count`` are there: squares of groups."""
        builder, lanes, steps = self.builder, self.lanes, self._steps
        places = [self._row(source, first, i) for i in range(count)]
        for begin, some in tail(0, self._groups, lanes):

            def groups_of(i: int, begin: int = begin, some: int = some) -> Expr:
                if i >= count:
                    return splat(constant(0, "int32"), some)
                read = self._read(source, places[i] + steps * begin, steps * some)
                return builder.let(_as(_vector("int32", some), read))

            for i, column in enumerate(_turned(builder, list(map(groups_of, range(lanes))), some)):
                index = vector_index(self._place(begin + i, first), steps * lanes)
                held = _vector(self.micro.b.name, steps * lanes)
                builder.store(self.numbers, index, _as(held, column))

    def _row(self, source: Rows, first: Index, i: int) -> Index:
        """Where a row of the source begins."""
        row = first + i
        if isinstance(self.columns, Size):
            row = tirx.min(row, self.columns - 1)
        return self.builder.let(source.start + row * source.stride)

    def bring_rows(self, source: Rows) -> None:
        """Rows of the source are rows of the matrix; zeros fill the last group of them."""
        steps = self._steps
        full, rest = divide(self.depth, steps), modulo(self.depth, steps)
        with self.builder.loop(full, "group") as group:
            self._group(source, group, steps)
        if rest != 0:
            with self.builder.loop(ceildiv(rest, steps), "group"):  # once, or not at all
                self._group(source, full, rest)
        self._begin()

    def _group(self, source: Rows, group: Index, count: Index) -> None:
        builder, steps, held = self.builder, self._steps, self.micro.b.name
        at = builder.let(source.start + group * steps * source.stride)
        for panel in range(0, self.columns, self.width):
            end = min(panel + self.width, self.columns)
            for column, some in tail(panel, end, FOUR // self.micro.b.bytes * self.lanes):

                def row(i: int, column: int = column, some: int = some) -> Expr:
                    known = isinstance(count, int)
                    if known and i >= count:
                        return splat(constant(0, held), some)
                    there = i if known else tirx.min(i, count - 1)
                    value = self._read(source, at + there * source.stride + column, some)
                    if not known:
                        kept = tirx.Select(count - i > tirx.const(0), -1, 0)
                        value = tirx.bitwise_and(value, splat(tirx.Cast(held, kept), some))
                    return builder.let(value)

                rows = list(map(row, range(steps)))
                mixed = interleaved(builder, rows, some) if some > 1 else rows
                place = builder.let(self._place(group, column))
                for i, vector in enumerate(mixed):
                    builder.store(self.numbers, vector_index(place + i * some, some), vector)

    def _begin(self) -> None:
        """What the sums of each column start from, where zero points are not taken before."""
        if self._steps != FOUR:
            return
        builder, lanes = self.builder, self.lanes
        with builder.loop(ceildiv(self.columns, lanes), "starts") as i:
            first = builder.let(i * lanes)
            start = splat(constant(self.depth * self.other * self.zero, "int32"), lanes)
            if self.other:
                total = builder.local(lanes, "int32")
                every = vector_index(0, lanes)
                builder.store(total, every, splat(constant(0, "int32"), lanes))
                ones = splat(constant(_ONES, "int32"), lanes)
                with builder.loop(self._groups, "four") as group:
                    index = vector_index(self._place(group, first), FOUR * lanes)
                    four = builder.load(self.numbers, index)
                    more = dot_products.add_four_products(
                        builder.load(total, every), ones, four, lanes
                    )
                    builder.store(total, every, more)
                factor = splat(constant(self.other, "int32"), lanes)
                start = start - builder.load(total, every) * factor
            builder.store(self.starts, vector_index(first, lanes), start)

    def multiply(
        self, rows: Any, pitch: int, count: int, first: Index, columns: int
    ) -> RegisterTile:
        """``count`` rows that lie so far apart in a buffer, by the columns of a panel."""
        builder, micro, steps = self.builder, self.micro, self._steps
        parts = [(i * self.lanes, self.lanes) for i in range(ceildiv(columns, self.lanes))]
        tile = RegisterTile(builder, count, parts, micro)
        if steps == FOUR:
            tile.start(
                lambda column, lanes: builder.load(self.starts, vector_index(first + column, lanes))
            )
        begin = builder.let(self._place(0, first))
        with builder.loop(self._groups, "k") as group:
            micro.step(
                tile,
                (rows, group * steps, pitch),
                (self.numbers, begin + group * self.width * steps),
            )
        return tile


def row_terms(
    builder: PhaseBuilder, rows: Any, pitch: int, count: int, lanes: int, zero: int
) -> Any:
    """What is added to the sums of each row, in an array; ``zero`` is of what rows are multiplied
    with. Rows lie ``pitch`` apart, a multiple of what a vector holds, and zeros fill them."""
    totals, every = [builder.local(lanes, "int32") for _ in range(count)], vector_index(0, lanes)
    nothing = splat(constant(0, "int32"), lanes)
    for total in totals:
        builder.store(total, every, nothing)
    ones = splat(constant(1, "int8"), FOUR * lanes)
    with builder.loop(pitch // (FOUR * lanes), "sum") as i:
        for row, total in enumerate(totals):
            index = vector_index(row * pitch + i * FOUR * lanes, FOUR * lanes)
            some = builder.load(rows, index)
            builder.store(
                total,
                every,
                dot_products.add_four_products(builder.load(total, every), some, ones, lanes),
            )
    vectors = [builder.load(total, every) for total in totals]
    sums = lane_sums(builder, vectors + [nothing] * (lanes - count), lanes)
    terms = builder.local(lanes, "int32")
    builder.store(terms, every, sums * splat(constant(-zero, "int32"), lanes))
    return terms


def _turned(builder: PhaseBuilder, vectors: list[Expr], lanes: int) -> list[Expr]:
    """Vectors of ``lanes`` lanes, transposed."""
    if lanes > 1:
        return transposed(builder, vectors, lanes)
    local = builder.local(len(vectors), "int32")
    for i, number in enumerate(vectors):
        builder.store(local, i, number)
    return [builder.load(local, vector_index(0, len(vectors)))]


def _vector(dtype: str, lanes: int) -> str:
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def _as(dtype: str, value: Expr) -> Expr:
    """The same bits."""
    return tirx.call_intrin(dtype, "tirx.reinterpret", value)
