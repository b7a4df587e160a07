"""The different rows of a matrix: sorted by digits, the last column first; then equals are
neighbours, of which the first has the lowest place.

One chunk: where a row goes depends on all others.
"""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tir.order import key_dtype, key_of
from ...tvm_late import tirx
from ..alone import NoKnobs
from ..form import Emitted
from ..radix import Digits, Scratch, entries
from ..slots import phase_builder
from .form import Distinct


def kernel(form: Distinct, knobs: NoKnobs) -> Emitted:
    """One phase."""
    return _Distinct(form).build()


class _Distinct:
    """``first`` is, of each value by its number in order, where it is first."""

    def __init__(self, form: Distinct) -> None:
        self.source = form.workload.inputs[0]
        self.rows, self.columns = self.source.shape
        self.is_sorted = bool(form.node.attr("sorted"))
        self.digits, self.scratch = Digits(key_dtype(self.source.dtype)), Scratch()
        self.digits.reserve(self.scratch)
        for name in ("listed", "sorted"):
            self.scratch.add_entries(name, self.rows, self.digits.keys)
        if not self.is_sorted:
            self.scratch.add("first", self.rows, "int32")
        self.builder: PhaseBuilder = phase_builder(form, {}, self.scratch.slots)

    def build(self) -> Emitted:
        builder, rows = self.builder, self.rows
        with builder.chunk_loop():
            self._sort()
            with builder.loop(2 * rows, "place") as place:
                builder.store(builder["out"], rows + place, constant(0, "int64"))
            self._number()
            if not self.is_sorted:
                self._number_as_they_come()
        return Emitted((builder.finish(1),), scratch=self.scratch.size)

    def _key(self, row: Index, column: Index) -> Expr:
        x = self.builder.load(self.builder["in0"], row * self.columns + column)
        return key_of(x, self.source.dtype)

    def _sort(self) -> None:
        builder = self.builder
        listed, other = (entries(builder, name) for name in ("listed", "sorted"))
        with builder.loop(self.rows, "row") as row:
            builder.store(listed.places, row, _index(row))
        with builder.loop(self.columns, "column") as column:
            with builder.loop(self.rows, "row") as row:
                key = self._key(builder.load(listed.places, row), self.columns - 1 - column)
                builder.store(listed.keys, row, key)
            self.digits.sort(builder, self.rows, listed, other)

    def _number(self) -> None:
        """Number the values in order."""
        builder, rows = self.builder, self.rows
        places = entries(builder, "listed").places
        number, differs = builder.local(1, "int32"), builder.local(1, "int32")
        builder.store(number, 0, constant(-1, "int32"))
        with builder.loop(rows, "row") as row:
            place, before = builder.local(1, "int32"), builder.local(1, "int32")
            builder.store(place, 0, builder.load(places, row))
            builder.store(before, 0, builder.load(places, tirx.max(_index(row) - 1, 0)))
            builder.store(differs, 0, _one_if(_index(row) == 0))
            with builder.loop(self.columns, "column") as column:
                pair = [self._key(builder.load(each, 0), column) for each in (place, before)]
                more = _one_if(pair[0] != pair[1])
                builder.store(differs, 0, tirx.bitwise_or(builder.load(differs, 0), more))
            with builder.when(builder.load(differs, 0) > 0):
                builder.store(number, 0, builder.load(number, 0) + 1)
                self._begin(builder.load(number, 0), builder.load(place, 0))
            self._give(0, builder.load(place, 0), builder.load(number, 0))
            if self.is_sorted:
                self._count(builder.load(number, 0))

    def _begin(self, number: Expr, place: Expr) -> None:
        if self.is_sorted:
            self._give(1, number, place)
        else:
            self.builder.store(self.builder["first"], number, place)

    def _number_as_they_come(self) -> None:
        """Number them anew; the list is not needed any more, and has what a number becomes."""
        builder = self.builder
        becomes = entries(builder, "listed").places
        following, old = builder.local(1, "int32"), builder.local(1, "int32")
        builder.store(following, 0, constant(0, "int32"))
        with builder.loop(self.rows, "row") as row:
            builder.store(old, 0, tirx.Cast("int32", builder.load(builder["out"], row)))
            with builder.when(builder.load(builder["first"], builder.load(old, 0)) == row):
                builder.store(becomes, builder.load(old, 0), builder.load(following, 0))
                self._give(1, builder.load(following, 0), _index(row))
                builder.store(following, 0, builder.load(following, 0) + 1)
            new = builder.local(1, "int32")
            builder.store(new, 0, builder.load(becomes, builder.load(old, 0)))
            self._give(0, row, builder.load(new, 0))
            self._count(builder.load(new, 0))

    def _give(self, row: int, place: Index, value: Expr) -> None:
        at = row * self.rows + place
        self.builder.store(self.builder["out"], at, tirx.Cast("int64", value))

    def _count(self, number: Expr) -> None:
        builder, at = self.builder, 2 * self.rows + number
        builder.store(builder["out"], at, builder.load(builder["out"], at) + 1)


def _index(row: Index) -> Expr:
    """A loop's index, also where the loop is known to run once."""
    return constant(row, "int32") if isinstance(row, int) else row


def _one_if(condition: Expr) -> Expr:
    return tirx.Select(condition, constant(1, "int32"), constant(0, "int32"))
