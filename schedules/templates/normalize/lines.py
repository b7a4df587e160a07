"""Rows that are normalised side by side: each by itself, some at once, or as the lanes of vectors.

A *figure* is a number of each row. Functions of an element get the row's first index, the row's
number among those that are side by side, and the column. What is done with every element is told
the column in two parts: which piece of the row, and where in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...emit.builder import PhaseBuilder
from ...tir.indices import Expr, Index
from ..rows import combine, identity, reduce_row, reduce_rows

Figure = Any
Of = Callable[[Index, Index, Index], Expr]
Finish = Callable[[Index, Index, Index, Index], None]


@dataclass(frozen=True)
class Lines(ABC):
    """Rows of float32 that begin at ``start``, one after the other, in pieces of equal length."""

    builder: PhaseBuilder
    extent: int
    lanes: int
    start: Index
    piece: int

    @abstractmethod
    def reduce(self, op: str, value: Of, *, again: bool = True) -> Figure:
        """Each row's elements reduced; whether some values may be computed ``again``."""

    @abstractmethod
    def changed(self, figure: Figure, function: Callable[[Expr], Expr]) -> Figure:
        """A function of a figure."""

    @abstractmethod
    def at(self, figure: Figure, row: Index) -> Expr:
        """That of one row."""

    @abstractmethod
    def each(self, finish: Finish) -> None:
        """Do something with every element."""

    def _along(self, base: Index, row: Index, finish: Finish) -> None:
        """With those of one row, in vectors."""
        builder = self.builder
        with builder.loop(self.extent // self.piece, "piece") as piece:
            first = builder.let(base + piece * self.piece) if self.piece != self.extent else base
            with builder.invariant_scope():
                for column in builder.strips(self.piece, self.lanes):
                    finish(first, row, piece, column)


class Line(Lines):
    """One row."""

    def reduce(self, op: str, value: Of, *, again: bool = True) -> Figure:
        """In vectors along it."""

        def element(column: Index) -> Expr:
            return value(self.start, 0, column)

        sizes = self.extent, self.lanes
        return reduce_row(self.builder, *sizes, op, "float32", element, again=again)

    def changed(self, figure: Figure, function: Callable[[Expr], Expr]) -> Figure:
        """As it is said."""
        return self.builder.let(function(figure))

    def at(self, figure: Figure, row: Index) -> Expr:
        """The only one."""
        return figure

    def each(self, finish: Finish) -> None:
        """In vectors along the row."""
        self._along(self.start, 0, finish)


class Several(Lines):
    """As many rows as lanes, each as long as a vector at least."""

    def reduce(self, op: str, value: Of, *, again: bool = True) -> Figure:
        """Along each row, and then across them."""

        def begin(row: Index) -> Callable[[Index], Expr]:
            base = self.builder.let(self.start + row * self.extent)
            return lambda column: value(base, row, column)

        sizes = self.extent, self.lanes
        return reduce_rows(self.builder, *sizes, op, "float32", begin, again=again)

    def changed(self, figure: Figure, function: Callable[[Expr], Expr]) -> Figure:
        """Of all rows at once."""
        builder = self.builder
        result = builder.local(self.lanes)
        with builder.vector(self.lanes) as lane:
            builder.store(result, lane, function(builder.load(figure, lane)))
        return result

    def at(self, figure: Figure, row: Index) -> Expr:
        """From its array."""
        return self.builder.load(figure, row)

    def each(self, finish: Finish) -> None:
        """One row after the other."""
        with self.builder.loop(self.lanes, "row") as row:
            self._along(self.builder.let(self.start + row * self.extent), row, finish)


class Across(Several):
    """As many rows as lanes, which they are: for rows shorter than a vector."""

    def reduce(self, op: str, value: Of, *, again: bool = True) -> Figure:
        """Column by column."""
        builder, join = self.builder, combine(op)
        result = builder.local(self.lanes)
        with builder.vector(self.lanes) as lane:
            builder.store(result, lane, identity(op, "float32"))
        for column in range(self.extent):
            with builder.vector(self.lanes) as lane:
                term = builder.let(value(self.start + lane * self.extent, lane, column))
                builder.store(result, lane, join(builder.load(result, lane), term))
        return result

    def each(self, finish: Finish) -> None:
        """Column by column."""
        for column in range(self.extent):
            with self.builder.vector(self.lanes) as lane:
                piece, rest = divmod(column, self.piece)
                finish(self.start + lane * self.extent + column - rest, lane, piece, rest)
