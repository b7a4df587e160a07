"""A decimal number of many digits, multiplied and divided by powers of two without any rounding.

This is the method of Go's ``strconv`` for what faster ones leave open: digits in a buffer, a point
among them, and binary shifts that go through all of them. A float that is nearest follows exactly.
"""

from __future__ import annotations

from typing import Any

from ...emit.builder import PhaseBuilder
from ...tir.indices import Expr
from ...tir.literals import constant
from ...tvm_late import tirx
from .cells import Cell, byte

DIGITS = 800
"""Of a number that count one by one; of those after them, whether any is not zero."""
_BEFORE, _AFTER = 448, 1280  # room for digits that come in front, and behind
ROOM = _BEFORE + DIGITS + _AFTER
STEP = 27  # bits of a shift, at most: ten times as many, and a digit, fit into 31 bits
_CARRIED = 9  # digits that come in front with a step


class Decimal:
    """0.ddd times ten to ``point``: the digits from ``first`` up to ``end`` of a buffer."""

    def __init__(self, builder: PhaseBuilder, digits: Any) -> None:
        self._builder, self._digits = builder, digits
        self.first, self.end = Cell(builder, _BEFORE), Cell(builder, _BEFORE)
        self.point, self.more = Cell(builder, 0), Cell(builder, 0)

    def digit(self, place: Expr) -> Expr:
        """As a number; zero after the last."""
        at = tirx.min(place, constant(ROOM - 1, "int32"))
        held = tirx.Cast("int32", self._builder.load(self._digits, at))
        return tirx.Select(place < self.end.now, held, constant(0, "int32"))

    def append(self, digit: Expr) -> None:
        """One more after the last; zeros in front are not digits."""
        builder, begun = self._builder, self.end.now > _BEFORE
        full = self.end.now >= _BEFORE + DIGITS
        with builder.when(tirx.And(full, digit != 0)):
            self.more.set(1)
        with builder.when(tirx.And(tirx.Not(full), tirx.Or(begun, digit != 0))):
            builder.store(self._digits, self.end.now, tirx.Cast("uint8", digit))
            self.end.add(1)

    def divide(self, bits: Expr) -> None:
        """By a power of two, up to ``STEP`` bits."""
        builder = self._builder
        rest, count, length, whole = (Cell(builder, 0) for _ in range(4))
        count.set(bits)
        length.set(self.end.now - self.first.now + bits)
        with builder.loop(length.now, "place") as place:
            at = self.first.now + place
            whole.set(rest.now * 10 + self.digit(at))
            quotient = tirx.shift_right(whole.now, count.now)
            rest.set(whole.now - tirx.shift_left(quotient, count.now))
            builder.store(self._digits, at, tirx.Cast("uint8", quotient))
        self.end.add(count.now)
        self._strip(STEP)

    def multiply(self, bits: Expr) -> None:
        """By a power of two, up to ``STEP`` bits."""
        builder = self._builder
        carry, count, length, whole = (Cell(builder, 0) for _ in range(4))
        count.set(bits)
        length.set(self.end.now - self.first.now + _CARRIED)
        with builder.loop(length.now, "place") as place:
            at = builder.let(self.end.now - 1 - place)
            held = tirx.Select(at >= self.first.now, self.digit(at), constant(0, "int32"))
            whole.set(tirx.shift_left(held, count.now) + carry.now)
            carry.set(tirx.truncdiv(whole.now, 10))
            builder.store(self._digits, at, tirx.Cast("uint8", tirx.truncmod(whole.now, 10)))
        self.first.add(-_CARRIED)
        self.point.add(_CARRIED)
        self._strip(_CARRIED)

    def _strip(self, most: int) -> None:
        """Zeros in front, of which there are at most so many."""
        builder = self._builder
        with builder.loop(most, "zero"):
            leads = builder.load(self._digits, self.first.now) == byte(0)
            with builder.when(tirx.And(leads, self.first.now < self.end.now)):
                self.first.add(1)
                self.point.add(-1)

    def rounded(self) -> Expr:
        """The nearest whole number, of two the even one; below 10^18."""
        builder = self._builder
        whole, after, above = Cell(builder, 0, "int64"), Cell(builder, 0), Cell(builder, 0)
        with builder.loop(18, "place") as place, builder.when(place < self.point.now):
            digit = tirx.Cast("int64", self.digit(self.first.now + place))
            whole.set(whole.now * constant(10, "int64") + digit)
        cut = self.first.now + tirx.max(self.point.now, constant(0, "int32"))
        after.set(tirx.Select(self.point.now < 0, constant(0, "int32"), self.digit(cut)))
        above.set(self.more.now)
        with builder.loop(self.end.now - self.first.now, "place") as place:
            later = self.digit(self.first.now + place) > 0
            with builder.when(tirx.And(place > self.point.now, later)):
                above.set(1)
        odd = tirx.bitwise_and(whole.now, constant(1, "int64")) != constant(0, "int64")
        half = tirx.And(after.now == 5, tirx.Or(above.now > 0, odd))
        up = tirx.Or(after.now > 5, half)
        whole.add(tirx.Select(up, constant(1, "int64"), constant(0, "int64")))
        return whole.now
