"""A text's parts between delimiters, or between spaces."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from ...emit.builder import PhaseBuilder
from ...ops.texts import SPACES, most_pieces
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from .cells import Cell, byte, fill
from .form import Texts

Write = Callable[[Expr, Expr, Expr], None]
"""Of a byte: its part, its place there, and itself."""


def count(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """How many there are."""
    number = _split(builder, form, text, lambda part, place, given: None)
    builder.store(builder["out"], text, tirx.Cast("int64", number))


def pieces(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """Themselves; the rest of the room is zero."""
    most, width = form.workload.output.shape[-2:]
    start, out = builder.let(text * (most * width)), builder["out"]
    fill(builder, out, start, most * width)

    def write(part: Expr, place: Expr, given: Expr) -> None:
        builder.store(out, start + part * width + place, given)

    _split(builder, form, text, write)


def _split(builder: PhaseBuilder, form: Texts, text: Index, write: Write) -> Expr:
    """How many parts there are."""
    start = builder.let(text * form.width)
    if form.node.attr("delimiter"):
        return _at_delimiters(builder, form, start, write)
    return _at_spaces(builder, form, start, write)


def _at_delimiters(builder: PhaseBuilder, form: Texts, start: Expr, write: Write) -> Expr:
    delimiter, width = tuple(form.node.attr("delimiter")), form.width
    last = most_pieces(width, len(delimiter), form.node.attr("cuts")) - 1
    part, place, left = (Cell(builder, 0) for _ in range(3))  # left: of a delimiter
    # After the last place where one fits none begins.
    begins = max(width - len(delimiter) + 1, 0)
    with builder.loop(width, "i") as i:
        same = [
            builder.load(builder["in0"], start + tirx.min(i + k, width - 1)) == byte(each)
            for k, each in enumerate(delimiter)
        ]
        inside = tirx.And(left.now == 0, tirx.And(part.now < last, i < begins))
        with builder.when(reduce(tirx.And, same, inside)):
            part.add(1)
            place.set(0)
            left.set(len(delimiter))
        given = builder.load(builder["in0"], start + i)
        with builder.when(tirx.And(left.now == 0, given != byte(0))):
            write(part.now, place.now, given)
            place.add(1)
        left.set(tirx.max(left.now - 1, constant(0, "int32")))
    return part.now + 1


def _at_spaces(builder: PhaseBuilder, form: Texts, start: Expr, write: Write) -> Expr:
    cuts = int(form.node.attr("cuts"))
    part, place, inside, end = (Cell(builder, first) for first in (-1, 0, 0, 0))

    def is_space(given: Expr) -> Expr:
        return reduce(tirx.Or, (given == byte(each) for each in SPACES))

    with builder.loop(form.width, "i") as i:  # spaces at the end are left out of the last part
        given = builder.load(builder["in0"], start + i)
        with builder.when(tirx.Not(tirx.Or(is_space(given), given == byte(0)))):
            end.set(i + 1)
    with builder.loop(end.now, "i") as i:
        given = builder.load(builder["in0"], start + i)
        space = is_space(given)
        if cuts >= 0:  # all of what is left after them is one part
            is_last = tirx.And(part.now == cuts, inside.now == 1)
            space = tirx.And(space, tirx.Not(is_last))
        ends = tirx.Or(space, given == byte(0))
        with builder.when(tirx.And(tirx.Not(ends), inside.now == 0)):
            part.add(1)
            place.set(0)
        # A part has a byte at least, so that there are never more than there is room for.
        inside.set(tirx.Select(ends, constant(0, "int32"), constant(1, "int32")))
        with builder.when(inside.now == 1):
            write(part.now, place.now, given)
            place.add(1)
    return part.now + 1
