"""The first of a row, of which some more than are wanted are held.

What comes before the last one of those that are wanted so far is put beside them; when there is no
room for more, the first ones are chosen and the others go. So each element is compared once, most
of them a vector at a time, and choosing takes linear time in all, whatever the row holds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...ir.size import at_most
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from ..radix import Digits, Entries, Scratch, entries
from .by_digits import choose, one_if
from .cycles import BLOCK, capacity
from .in_order import give_in_order
from .row import Row


def reserve(scratch: Scratch, digits: Digits, wanted: int) -> None:
    """What ``by_reservoir`` needs."""
    digits.reserve(scratch)
    scratch.add_entries("held", capacity(wanted), digits.keys)
    scratch.add_entries("sorted", wanted, digits.keys)


def by_reservoir(row: Row, digits: Digits) -> None:
    """Choose, and sort what is chosen."""
    builder, held = row.builder, entries(row.builder, "held")
    first = at_most(capacity(row.wanted), row.length)
    with builder.loop(first, "place") as place:
        builder.store(held.keys, place, row.key(place))
        builder.store(held.places, place, tirx.Cast("int32", place))
    filled, worst = builder.local(1, "int32"), builder.local(1, row.keys)
    builder.store(filled, 0, constant(first, "int32"))
    _choose(row, held, filled, worst)
    rest = row.length - first
    with builder.loop(rest // BLOCK, "block") as block:
        begin = builder.let(first + block * BLOCK)
        keys, some = builder.local(BLOCK, row.keys), builder.local(1, "int32")
        builder.store(some, 0, constant(0, "int32"))
        with builder.loop(BLOCK, "other") as other:
            key = builder.let(row.key(begin + other))
            builder.store(keys, other, key)
            more = one_if(key < builder.load(worst, 0))
            builder.store(some, 0, tirx.bitwise_or(builder.load(some, 0), more))
        with builder.when(builder.load(some, 0) > 0):
            _look(row, held, begin, BLOCK, filled, worst, partial(builder.load, keys))
            with builder.when(builder.load(filled, 0) > capacity(row.wanted) - BLOCK):
                _choose(row, held, filled, worst)
    begin = builder.let(first + rest // BLOCK * BLOCK)
    _look(row, held, begin, rest % BLOCK, filled, worst, lambda other: row.key(begin + other))
    _choose(row, held, filled, worst)
    give_in_order(row, digits, held)


def _look(
    row: Row,
    held: Entries,
    first: Index,
    count: Index,
    filled: Any,
    worst: Any,
    key_of: Callable[[Index], Expr],
) -> None:
    """Put what comes before the last one beside the others."""
    builder = row.builder
    with builder.loop(count, "other") as other:
        key, at = builder.let(key_of(other)), builder.let(builder.load(filled, 0))
        builder.store(held.keys, at, key)
        builder.store(held.places, at, tirx.Cast("int32", first + other))
        builder.store(filled, 0, at + one_if(key < builder.load(worst, 0)))


def _choose(row: Row, held: Entries, filled: Any, worst: Any) -> None:
    """The first ones of what is held, and the last one's key."""
    builder = row.builder
    count = builder.let(builder.load(filled, 0))
    bound = choose(
        row, held.keys, count, capacity(row.wanted), held,
        lambda entry: builder.load(held.places, entry),
    )  # fmt: skip
    builder.store(worst, 0, builder.load(bound, 0))
    builder.store(filled, 0, constant(row.wanted, "int32"))
