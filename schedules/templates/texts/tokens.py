"""A text's tokens: where they are, by an automaton, and themselves; and its hash."""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...ops.tokens import BEGINS, FIRST, GOES_ON, LAST
from ...tir import arithmetic
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from .cells import Cell, byte, fill, one_if
from .form import Texts


def find(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """Tokens are what matches."""
    fill(builder, builder["out"], builder.let(text * form.width), form.width)
    _search(builder, form, text, cuts=False)


def cut(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """What matches parts them."""
    start, left = builder.let(text * form.width), Cell(builder, 255, "uint8")
    with builder.loop(form.width, "i") as i:
        given = builder.load(builder["in0"], start + i)
        left.set(tirx.Select(given == byte(0), byte(0), left.now))
        part = builder.load(builder["in1"], start + i)
        builder.store(builder["out"], start + i, tirx.bitwise_and(part, left.now))
    _search(builder, form, text, cuts=True)


def _search(builder: PhaseBuilder, form: Texts, text: Index, *, cuts: bool) -> None:
    """From each place after the last match that a letter begins at: the longest match."""
    width, out, node = form.width, builder["out"], form.node
    accepts, least = int(node.attr("accepts")), 1 if cuts else int(node.attr("least"))
    start = builder.let(text * width)
    free, state, alive, letters, end = (Cell(builder, 0) for _ in range(5))
    with builder.loop(width, "i") as i:
        first = builder.load(builder["in0"], start + i)
        begins = tirx.And(i >= free.now, tirx.And(first != byte(0), _is_letter(first)))
        if cuts:
            begins = tirx.And(begins, builder.load(out, start + i) != byte(0))
        with builder.when(begins):
            state.set(int(node.attr("begin")))
            alive.set(1)
            letters.set(0)
            end.set(i)
            with builder.loop(width - i, "j", i) as j:
                given = builder.load(builder["in0"], start + j)
                stops = given == byte(0)
                if cuts:
                    same = builder.load(out, start + j) == byte(GOES_ON)
                    stops = tirx.Or(stops, tirx.And(j > i, tirx.Not(same)))
                with builder.when(stops):
                    alive.set(0)
                with builder.when(alive.now > 0):
                    state.set(_next(builder, form, state.now, given, cuts=cuts))
                    letters.add(one_if(_is_letter(given)))
                    with builder.when(tirx.And(state.now >= accepts, letters.now >= least)):
                        end.set(j + 1)
            with builder.when(end.now > i):
                free.set(end.now)
                with builder.loop(end.now - i, "j", i) as j:
                    inside = tirx.Select(j == i, byte(BEGINS), byte(GOES_ON))
                    builder.store(out, start + j, byte(0) if cuts else inside)
                if cuts:
                    after = start + tirx.min(end.now, width - 1)
                    goes_on = builder.load(out, after) == byte(GOES_ON)
                    with builder.when(tirx.And(end.now < width, goes_on)):
                        builder.store(out, after, byte(BEGINS))


def _next(builder: PhaseBuilder, form: Texts, state: Expr, given: Expr, *, cuts: bool) -> Expr:
    classes, table = builder[f"in{1 + cuts}"], builder[f"in{2 + cuts}"]
    kind = tirx.Cast("int32", builder.load(classes, tirx.Cast("int32", given)))
    return builder.load(table, state * int(form.node.attr("kinds")) + kind)


def _is_letter(given: Expr) -> Expr:
    """Whether it is a letter's first byte."""
    return tirx.bitwise_and(given, byte(0xC0)) != byte(0x80)


def long(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """Tokens of as many letters; whether a token has these is written where it begins, from the
    end on, and read from the start on."""
    width, least, out = form.width, int(form.node.attr("least")), builder["out"]
    start, letters, keeps = builder.let(text * width), Cell(builder, 0), Cell(builder, 1, "uint8")
    with builder.loop(width, "k") as k:
        place = builder.let(start + (width - 1) - k)
        part = builder.load(builder["in1"], place)
        given = builder.load(builder["in0"], place)
        letters.add(one_if(tirx.And(part > byte(0), _is_letter(given))))
        builder.store(out, place, one_if(letters.now >= least, "uint8"))
        with builder.when(part < byte(GOES_ON)):
            letters.set(0)
    with builder.loop(width, "i") as i:
        part = builder.load(builder["in1"], start + i)
        with builder.when(part == byte(BEGINS)):
            keeps.set(builder.load(out, start + i))
        with builder.when(part == byte(0)):
            keeps.set(1)
        builder.store(out, start + i, tirx.Select(keeps.now > byte(0), part, byte(0)))


def tokens(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """Themselves, each in its row; the rows are pads before."""
    *_, places, room = form.workload.output.shape
    width, mark, out = form.width, int(form.node.attr("mark")), builder["out"]
    start, to = builder.let(text * width), builder.let(text * (places * room))
    with builder.loop(places, "pad") as p, builder.loop(room, "i") as i:
        builder.store(out, to + p * room + i, builder.load(builder["in2"], i))
    slot, place = Cell(builder, -1), Cell(builder, 0)
    with builder.loop(width, "i") as i:
        part = builder.load(builder["in1"], start + i)
        more = slot.now + 1 < places - 2 * mark
        with builder.when(tirx.And(part == byte(BEGINS), more)):
            slot.add(1)
            place.set(0)
            fill(builder, out, to + (slot.now + mark) * room, room)
        inside = tirx.And(slot.now >= 0, place.now < room)
        with builder.when(tirx.And(part != byte(0), inside)):
            given = builder.load(builder["in0"], start + i)
            builder.store(out, to + (slot.now + mark) * room + place.now, given)
            place.add(1)
    if mark:
        for at, marked in ((constant(0, "int32"), FIRST), (slot.now + 2, LAST)):
            fill(builder, out, to + at * room, room)
            builder.store(out, to + at * room, byte(marked))


def hashed(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """MurmurHash3_x86_32 (Appleby 2011): blocks of four bytes, the last one with zeros."""
    start = builder.let(text * form.width)
    found, block = Cell(builder, 0, "uint32"), Cell(builder, 0, "uint32")
    found.set(_number(int(form.node.attr("seed"))))
    count = Cell(builder, 0)

    def times(value: Expr, by: int) -> Expr:
        return arithmetic.multiply(value, _number(by), builder.let)

    def mix() -> None:
        turned = builder.let(_turned(builder.let(times(block.now, 0xCC9E2D51)), 15))
        found.set(tirx.bitwise_xor(found.now, times(turned, 0x1B873593)))
        block.set(_number(0))

    with builder.loop(form.width, "i") as i:
        given = builder.load(builder["in0"], start + i)
        with builder.when(given != byte(0)):
            place = tirx.Cast("uint32", tirx.truncmod(count.now, 4)) * _number(8)
            shifted = tirx.shift_left(tirx.Cast("uint32", given), place)
            block.set(tirx.bitwise_or(block.now, shifted))
            count.add(1)
            with builder.when(tirx.truncmod(count.now, 4) == 0):
                mix()
                moved = times(builder.let(_turned(found.now, 13)), 5)
                found.set(arithmetic.add(moved, _number(0xE6546B64), builder.let))
    mix()  # of no bytes nothing
    found.set(tirx.bitwise_xor(found.now, tirx.Cast("uint32", count.now)))
    for shift, by in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        found.set(times(builder.let(_folded(found.now, shift)), by))
    builder.store(builder["out"], text, _folded(found.now, 16))


def _number(value: int) -> Expr:
    return constant(value, "uint32")


def _folded(value: Expr, by: int) -> Expr:
    return tirx.bitwise_xor(value, tirx.shift_right(value, _number(by)))


def _turned(value: Expr, by: int) -> Expr:
    high = tirx.shift_left(value, _number(by))
    return tirx.bitwise_or(high, tirx.shift_right(value, _number(32 - by)))
