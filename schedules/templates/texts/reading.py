"""The number that a text is, to the nearest that its type has."""

from __future__ import annotations

from functools import reduce

from ...emit.builder import PhaseBuilder
from ...ops.texts import FORMATS, SPACES, WORDS, FloatFormat
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from .cells import Cell, byte
from .decimal import STEP, Decimal
from .form import Texts

# What was read last.
_NOTHING, _WHOLE, _PART, _E, _POWER, _AFTER, _SIGN, _E_SIGN, _POINT, _WRONG = range(10)
_NUMBER = (_WHOLE, _PART, _POWER, _AFTER)  # where a text may end
_FARTHEST = 99_999  # of a power, which is nothing or infinite long before
_STEPS = 56  # of STEP bits, which are more than any number has


def number(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """Of one text; NaN, or 0 of a whole type, for what is none."""
    start = builder.let(text * form.width)
    dtype = form.workload.output.dtype
    reader = _Reader(builder, form, start)
    reader.read()
    builder.store(builder["out"], text, reader.whole() if dtype == "int64" else reader.float(dtype))


class _Reader:
    def __init__(self, builder: PhaseBuilder, form: Texts, start: Index) -> None:
        self.builder, self.width, self.start = builder, form.width, start
        self.decimal = Decimal(builder, builder["digits"])
        self.state, self.before = Cell(builder, _NOTHING), Cell(builder, _NOTHING)
        self.negative, self.inverse, self.power = (Cell(builder, 0) for _ in range(3))

    def given(self, place: Index) -> Expr:
        return self.builder.load(self.builder["in0"], self.start + place)

    def was(self, *states: int) -> Expr:
        return reduce(tirx.Or, (self.before.now == state for state in states))

    def read(self) -> None:
        """All of the text."""
        builder = self.builder
        with builder.loop(self.width, "i") as i:
            given = self.given(i)
            with builder.when(given != byte(0)):
                self.before.set(self.state.now)
                self.state.set(_WRONG)
                self._space(given)
                self._sign(given)
                self._digit(given)
                self._point(given)
        power = tirx.Select(self.inverse.now > 0, 0 - self.power.now, self.power.now)
        self.decimal.point.add(power)

    def _becomes(self, condition: Expr, state: int) -> None:
        with self.builder.when(condition):
            self.state.set(state)

    def _space(self, given: Expr) -> None:
        is_space = reduce(tirx.Or, (given == byte(each) for each in SPACES))
        self._becomes(tirx.And(is_space, self.was(_NOTHING)), _NOTHING)
        self._becomes(tirx.And(is_space, self.was(*_NUMBER)), _AFTER)

    def _sign(self, given: Expr) -> None:
        minus = given == byte(ord("-"))
        sign = tirx.Or(minus, given == byte(ord("+")))
        with self.builder.when(tirx.And(sign, self.was(_NOTHING))):
            self.state.set(_SIGN)
            self.negative.set(tirx.Select(minus, constant(1, "int32"), constant(0, "int32")))
        with self.builder.when(tirx.And(sign, self.was(_E))):
            self.state.set(_E_SIGN)
            self.inverse.set(tirx.Select(minus, constant(1, "int32"), constant(0, "int32")))

    def _digit(self, given: Expr) -> None:
        builder, decimal = self.builder, self.decimal
        digit = builder.let(tirx.Cast("int32", given) - ord("0"))
        is_digit = tirx.And(digit >= 0, digit <= 9)
        with builder.when(tirx.And(is_digit, self.was(_NOTHING, _SIGN, _WHOLE))):
            self.state.set(_WHOLE)
            decimal.append(digit)
            with builder.when(decimal.end.now > decimal.first.now):
                decimal.point.add(1)
        with builder.when(tirx.And(is_digit, self.was(_POINT, _PART))):
            self.state.set(_PART)
            decimal.append(digit)
            with builder.when(decimal.end.now == decimal.first.now):
                decimal.point.add(-1)
        with builder.when(tirx.And(is_digit, self.was(_E, _E_SIGN, _POWER))):
            self.state.set(_POWER)
            more = self.power.now * 10 + digit
            self.power.set(tirx.min(more, constant(_FARTHEST, "int32")))

    def _point(self, given: Expr) -> None:
        is_point = given == byte(ord("."))
        self._becomes(tirx.And(is_point, self.was(_NOTHING, _SIGN)), _POINT)
        self._becomes(tirx.And(is_point, self.was(_WHOLE)), _PART)
        is_e = tirx.bitwise_or(given, byte(0x20)) == byte(ord("e"))
        self._becomes(tirx.And(is_e, self.was(_WHOLE, _PART)), _E)

    # ---- results ----

    def is_number(self) -> Expr:
        return reduce(tirx.Or, (self.state.now == state for state in _NUMBER))

    def whole(self) -> Expr:
        """Without what comes after the point, within the limits of int64."""
        builder, decimal = self.builder, self.decimal
        total, beyond = Cell(builder, 0, "uint64"), Cell(builder, 0)
        ten = constant(10, "uint64")
        with builder.when(tirx.And(decimal.point.now > 19, decimal.end.now > decimal.first.now)):
            beyond.set(1)
        with builder.loop(19, "place") as place, builder.when(place < decimal.point.now):
            digit = tirx.Cast("uint64", decimal.digit(decimal.first.now + place))
            total.set(total.now * ten + digit)
        least, most = -(1 << 63), (1 << 63) - 1
        with builder.when(total.now > constant(most, "uint64")):
            beyond.set(1)
        with builder.when(beyond.now > 0):
            total.set(0)
        size = tirx.Cast("int64", total.now)
        signed = tirx.Select(self.negative.now > 0, constant(0, "int64") - size, size)
        farthest = tirx.Select(
            self.negative.now > 0, constant(least, "int64"), constant(most, "int64")
        )
        found = tirx.Select(beyond.now > 0, farthest, signed)
        return tirx.Select(self.is_number(), found, constant(0, "int64"))

    def float(self, dtype: str) -> Expr:
        """Its bits, of whichever kind it is."""
        builder, kind = self.builder, FORMATS[dtype]
        bits, sign = Cell(builder, kind.nan, "int64"), Cell(builder, 0, "int64")
        sign.set(tirx.Cast("int64", self.negative.now) * constant(kind.sign, "int64"))
        with builder.when(self.is_number()):
            self._round(kind, bits)
            bits.set(tirx.bitwise_or(bits.now, sign.now))
        self._words(kind, bits)
        held = builder.local(1, kind.bits)
        builder.store(held, 0, tirx.Cast(kind.bits, bits.now))
        return tirx.call_intrin(dtype, "tirx.reinterpret", builder.load(held, 0))

    def _words(self, kind: FloatFormat, bits: Cell) -> None:
        """Infinity, which may have a sign, in letters of any case."""
        builder = self.builder
        signed = tirx.Or(self.given(0) == byte(ord("-")), self.given(0) == byte(ord("+")))
        begin = Cell(builder, 0)
        begin.set(tirx.Select(signed, constant(1, "int32"), constant(0, "int32")))
        minus = self.given(0) == byte(ord("-"))
        infinite = constant(kind.infinity, "int64")
        value = tirx.Select(minus, constant(kind.infinity + kind.sign, "int64"), infinite)
        for word in WORDS:
            end = begin.now + len(word)
            last = constant(self.width - 1, "int32")
            same = [
                tirx.bitwise_or(self.given(tirx.min(begin.now + i, last)), byte(0x20)) == byte(each)
                for i, each in enumerate(word)
            ]
            ends = tirx.Or(end == self.width, self.given(tirx.min(end, last)) == byte(0))
            whole = tirx.And(end <= self.width, ends)
            with builder.when(reduce(tirx.And, same, whole)):
                bits.set(value)

    def _round(self, kind: FloatFormat, bits: Cell) -> None:
        """The bits of the nearest number of this size."""
        builder, decimal = self.builder, self.decimal
        bits.set(0)
        exponent = Cell(builder, 0)
        some = decimal.end.now > decimal.first.now
        with builder.when(tirx.And(some, decimal.point.now > kind.most_point)):
            bits.set(kind.infinity)
        inside = tirx.And(
            decimal.point.now <= kind.most_point, decimal.point.now >= kind.least_point
        )
        with builder.when(tirx.And(some, inside)):
            self._scale(exponent)
            exponent.add(-1)
            for _ in range(4):  # below the least exponent, fewer bits are left
                below = Cell(builder, 0)
                below.set(tirx.min(kind.least_exponent - exponent.now, constant(STEP, "int32")))
                with builder.when(below.now > 0):
                    decimal.divide(below.now)
                    exponent.add(below.now)
            left = kind.fraction + 1
            while left:
                decimal.multiply(constant(min(left, STEP), "int32"))
                left -= min(left, STEP)
            self._pack(kind, exponent, bits)

    def _scale(self, exponent: Cell) -> None:
        """To one half at least and less than one."""
        builder, decimal, count = self.builder, self.decimal, Cell(self.builder, 0)
        with builder.loop(_STEPS, "step"), builder.when(decimal.point.now > 0):
            count.set(_bits(decimal.point.now))
            decimal.divide(count.now)
            exponent.add(count.now)
        with builder.loop(_STEPS, "step"):
            small = tirx.Or(decimal.point.now < 0, decimal.digit(decimal.first.now) < 5)
            with builder.when(tirx.And(decimal.point.now <= 0, small)):
                count.set(_bits(0 - decimal.point.now))
                decimal.multiply(count.now)
                exponent.add(0 - count.now)

    def _pack(self, kind: FloatFormat, exponent: Cell, bits: Cell) -> None:
        builder = self.builder
        mantissa = Cell(builder, 0, "int64")
        mantissa.set(self.decimal.rounded())
        hidden = 1 << kind.fraction
        with builder.when(mantissa.now == constant(2 * hidden, "int64")):
            mantissa.set(hidden)
            exponent.add(1)
        # Of a number without the hidden bit the exponent's field is 0, as of one that rounds up to
        # it is 1: both are what the sum gives.
        known = tirx.min(exponent.now, constant(kind.most_exponent, "int32"))
        field = tirx.Cast("int64", known - kind.least_exponent)
        bits.set(field * constant(hidden, "int64") + mantissa.now)
        with builder.when(exponent.now > kind.most_exponent):
            bits.set(kind.infinity)


def _bits(digits: Expr) -> Expr:
    """About as many as so many decimal digits have, never more: one at least, ``STEP`` at most."""
    some = tirx.truncdiv(tirx.min(digits, constant(9, "int32")) * 213, 64)
    return tirx.max(tirx.min(some, constant(STEP, "int32")), constant(1, "int32"))
