"""The register tile: a block of outputs that stays in vector registers during its reduction.

A tile is ``rows`` by a list of vector ``parts``. Each reduction step loads one vector per part and
multiplies it with one broadcast scalar per row (Goto and van de Geijn, *Anatomy of High-Performance
Matrix Multiplication*, 2008; section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..ir.dtype import FLOAT32
from ..target.target import Target
from ..tir.indices import Expr, Index, ceildiv, tail
from ..tir.literals import constant
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .micro_kernel import FLOAT32_MULTIPLY_ADD, MicroKernel

LINE = 64 // FLOAT32.bytes  # floats in a cache line
Parts = Sequence[tuple[int, int]]  # (first column, lanes) of each vector


def column_parts(columns: int, lanes: int) -> list[tuple[int, int]]:
    """Full vectors that cover ``columns`` of packed weights, which are padded for the last one.

    Only the store is exact; LLVM narrows what it leaves unused.
    """
    return [(i * lanes, lanes) for i in range(ceildiv(columns, lanes))]


def fits_registers(rows: int, vectors: int, target: Target) -> bool:
    """Whether accumulators, one vector per part and a broadcast fit without spilling."""
    return rows * vectors + vectors + 1 <= target.vector_registers


@dataclass
class RegisterTile:
    """Accumulators of a tile, zeroed where it is made; of ``left`` rows, where those are fewer and
    known only at run time, something is made at the end."""

    builder: PhaseBuilder
    rows: int
    parts: Parts
    micro: MicroKernel = FLOAT32_MULTIPLY_ADD
    left: Index | None = None

    def __post_init__(self) -> None:
        self._width = sum(lanes for _, lanes in self.parts)
        size = max(1, self.rows * self._width)
        self._local = self.builder.local(size, self.micro.accumulator.name)
        self.fill(0.0)

    def _place(self, row: Index, part: int) -> Index:
        return row * self._width + sum(lanes for _, lanes in self.parts[:part])

    def _index(self, row: Index, part: int) -> Index:
        return vector_index(self._place(row, part), self.parts[part][1])

    def _store(self, row: int, part: int, value: Expr) -> None:
        self.builder.store(self._local, self._index(row, part), value)

    def step(
        self,
        scalar: Callable[[int], Expr],
        vector: Callable[[int, int], Expr],
        rows: Sequence[int] | None = None,
        *,
        by_lane: bool = False,
    ) -> None:
        """One reduction step: ``scalar(row)`` times ``vector(first column, lanes)``.

        Where it goes ``by_lane`` the former is a vector, too, and sums of products lie in lanes.
        """
        loaded = [vector(column, lanes) for column, lanes in self.parts]
        for row in range(self.rows) if rows is None else rows:
            value = scalar(row)
            for part, (_, lanes) in enumerate(self.parts):
                self._add(row, part, value if by_lane else splat(value, lanes), loaded[part])

    def step_by_parts(
        self, scalar: Callable[[int], Expr], vector: Callable[[int, int], Expr]
    ) -> None:
        """The same part by part, where there are more of these than rows: the scalars of all rows
        are held, and one vector at a time."""
        values = [scalar(row) for row in range(self.rows)]
        for part, (column, lanes) in enumerate(self.parts):
            loaded = self.builder.let(vector(column, lanes))
            for row, value in enumerate(values):
                self._add(row, part, splat(value, lanes), loaded)

    def _add(self, row: int, part: int, left: Expr, right: Expr) -> None:
        old = self.builder.load(self._local, self._index(row, part))
        self._store(row, part, self.micro.emit(old, left, right))

    def fill(self, value: float) -> None:
        """Start from ``value`` instead of zero."""
        start = constant(value, self.micro.accumulator.name)
        for row in range(self.rows):
            for part, (_, lanes) in enumerate(self.parts):
                self._store(row, part, splat(start, lanes))

    def start(self, vector: Callable[[int, int], Expr]) -> None:
        """Start from ``vector(first column, lanes)`` in every row."""
        for row in range(self.rows):
            for part, (column, lanes) in enumerate(self.parts):
                self._store(row, part, vector(column, lanes))

    def vector(self, row: int, part: int) -> Expr:
        """One vector of accumulators."""
        return self.builder.load(self._local, self._index(row, part))

    def update(self, row: int, part: int, value: Callable[[Expr], Expr]) -> None:
        """Replace one vector of accumulators by ``value(old)``."""
        self._store(row, part, value(self.builder.load(self._local, self._index(row, part))))

    def add(self, other: RegisterTile) -> None:
        """What another one of this form holds."""
        for row in range(self.rows):
            for part in range(len(self.parts)):
                total = self.vector(row, part) + other.vector(row, part)
                self._store(row, part, total)

    def vectors(self) -> list[Expr]:
        """All accumulators, row by row."""
        parts = range(len(self.parts))
        indices = (self._index(row, part) for row in range(self.rows) for part in parts)
        return [self.builder.load(self._local, index) for index in indices]

    def element(self, row: Index, column: Index, part: int) -> Expr:
        """One accumulator; ``column`` counts from the part's first column."""
        return self.builder.load(self._local, self._place(row, part) + column)

    def each_row(self) -> Iterator[Index]:
        """Rows, whose sums are ready."""
        for row in range(self.rows):
            if self.left is None:
                yield row
            else:
                with self.builder.when(self.left > row):
                    yield row

    def finish(self, columns: int, store: Callable[[Index, Index, Expr], None]) -> None:
        """Call ``store(row, column, value)`` for each element in the first ``columns`` columns."""
        for row in self.each_row():
            for part, (first, lanes) in enumerate(self.parts):
                begin = first - self.parts[0][0]
                for offset, width in tail(0, min(lanes, columns - begin), lanes):
                    with self.builder.vector(width) as lane:
                        column = offset + lane
                        store(row, first + column, self.element(row, column, part))

    def finish_rows(
        self,
        columns: int,
        store: Callable[[Index, Index, Expr], None],
        most: int,
    ) -> None:
        """As ``finish``, in vectors of up to ``most`` lanes, whichever registers they are in:
        narrow numbers that are made of the sums are then stored together."""
        for row, sums, offset, lanes in self.row_pieces(columns, most):
            with self.builder.vector(lanes) as lane:
                store(row, offset + lane, self.builder.load(sums, offset + lane))

    def row_pieces(self, columns: int, most: int) -> Iterator[tuple[Index, Any, int, int]]:
        """(row, its sums as an array, first column, lanes) of vectors of up to ``most`` lanes."""
        builder, widest = self.builder, min(most, 1 << (self._width.bit_length() - 1))
        for row in self.each_row():
            sums = builder.local(self._width, self.micro.accumulator.name)
            for part, (first, lanes) in enumerate(self.parts):
                value = builder.load(self._local, self._index(row, part))
                builder.store(sums, vector_index(first - self.parts[0][0], lanes), value)
            for offset, lanes in tail(0, columns, widest):
                yield row, sums, offset, lanes


def splat(value: Expr, lanes: int) -> Expr:
    """A scalar in every lane."""
    return value if lanes == 1 else tirx.Broadcast(value, lanes)


def vector_index(first: Index, lanes: int) -> Any:
    """The indices of ``lanes`` neighbours."""
    return first if lanes == 1 else tirx.Ramp(first, 1, lanes)
