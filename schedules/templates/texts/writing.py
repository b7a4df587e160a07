"""A text of which another one is written."""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...ops.texts import MOST_DIGITS
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from .cells import Cell, byte, fill, one_if
from .form import Texts


def clean(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """Its bytes as far as there is no zero before them."""
    start, left = builder.let(text * form.width), Cell(builder, 255, "uint8")
    with builder.loop(form.width, "i") as i:
        given = builder.load(builder["in0"], start + i)
        left.set(tirx.Select(given == byte(0), byte(0), left.now))
        builder.store(builder["out"], start + i, tirx.bitwise_and(given, left.now))


def join(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """The second one's bytes follow the first one's."""
    first, second = form.width, form.workload.inputs[1].shape[-1]
    start = builder.let(text * (first + second))
    length = Cell(builder, 0)
    with builder.loop(first, "i") as i:
        given = builder.load(builder["in0"], text * first + i)
        builder.store(builder["out"], start + i, given)
        length.add(one_if(given != byte(0)))
    fill(builder, builder["out"], start + first, second)
    with builder.loop(second, "i") as i:
        given = builder.load(builder["in1"], text * second + i)
        builder.store(builder["out"], start + length.now + i, given)


def number(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """A whole number's digits, after its sign."""
    given = builder.load(builder["in0"], text)
    rest, count, negative = Cell(builder, 0, "uint64"), Cell(builder, 0), Cell(builder, 0)
    rest.set(tirx.Cast("uint64", given))
    if form.workload.inputs[0].dtype == "int64":
        with builder.when(given < constant(0, "int64")):
            negative.set(1)
            rest.set(tirx.bitwise_not(rest.now) + constant(1, "uint64"))
    digits, ten = builder.local(MOST_DIGITS, "uint8"), constant(10, "uint64")
    with builder.loop(MOST_DIGITS, "i") as i:
        builder.store(digits, i, tirx.Cast("uint8", tirx.truncmod(rest.now, ten)))
        some = rest.now > constant(0, "uint64")
        count.add(one_if(tirx.Or(some, i == 0)))
        rest.set(tirx.truncdiv(rest.now, ten))
    start, out = builder.let(text * MOST_DIGITS), builder["out"]
    fill(builder, out, start, MOST_DIGITS)
    with builder.when(negative.now > 0):
        builder.store(out, start, byte(ord("-")))
    with builder.loop(count.now, "i") as i:
        digit = builder.load(digits, count.now - 1 - i)
        builder.store(out, start + negative.now + i, digit + byte(ord("0")))


def map_letters(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """Letters of one, two and three bytes; others, and what is not a letter, stay."""
    width = form.width
    start = builder.let(text * width)
    out = builder["out"]

    def given(place: Index) -> Expr:
        """The byte, as a number."""
        return tirx.Cast("int32", builder.load(builder["in0"], start + place))

    with builder.loop(width, "i") as i:
        builder.store(out, start + i, builder.load(builder["in0"], start + i))
    with builder.loop(width, "i") as i:
        first = builder.let(given(i))
        second = builder.let(given(tirx.min(i + 1, width - 1)))
        third = builder.let(given(tirx.min(i + 2, width - 1)))
        follows = tirx.And(i + 1 < width, _masked(second, 0xC0) == 0x80)
        two = tirx.And(_masked(first, 0xE0) == 0xC0, follows)
        both = tirx.And(follows, tirx.And(i + 2 < width, _masked(third, 0xC0) == 0x80))
        three = tirx.And(_masked(first, 0xF0) == 0xE0, both)
        with builder.when(tirx.And(first > 0, first < 0x80)):
            builder.store(out, start + i, _byte(_target(builder, first)))
        with builder.when(two):
            letter = _masked(first, 31) * 64 + _masked(second, 63)
            target = builder.let(_target(builder, letter))
            builder.store(out, start + i, _byte(0xC0 + tirx.shift_right(target, 6)))
            builder.store(out, start + i + 1, _byte(0x80 + _masked(target, 63)))
        with builder.when(three):
            page = _masked(first, 15) * 64 + _masked(second, 63)
            target = builder.let(_target(builder, page * 64 + _masked(third, 63)))
            rest = _masked(tirx.shift_right(target, 6), 63)
            builder.store(out, start + i, _byte(0xE0 + tirx.shift_right(target, 12)))
            builder.store(out, start + i + 1, _byte(0x80 + rest))
            builder.store(out, start + i + 2, _byte(0x80 + _masked(target, 63)))


def _target(builder: PhaseBuilder, letter: Expr) -> Expr:
    page = tirx.Cast("int32", builder.load(builder["in1"], tirx.shift_right(letter, 6)))
    return letter + builder.load(builder["in2"], page * 64 + _masked(letter, 63))


def _masked(value: Expr, mask: int) -> Expr:
    return tirx.bitwise_and(value, mask)


def _byte(value: Expr) -> Expr:
    return tirx.Cast("uint8", value)
