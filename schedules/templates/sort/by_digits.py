"""The first of a row by their keys' digits: which they are, then their order."""

from __future__ import annotations

from typing import Any

from ...tir.indices import Expr
from ...tir.literals import constant
from ...tvm_late import tirx
from ..radix import Digits, Entries, Scratch, entries
from .row import Row


def reserve(scratch: Scratch, digits: Digits, length: int, wanted: int) -> None:
    """What ``by_digits`` needs. All of a row are their own list."""
    digits.reserve(scratch)
    if length != wanted:
        scratch.add("keys", length, digits.keys)
    scratch.add_entries("listed", wanted, digits.keys)
    scratch.add_entries("sorted", wanted, digits.keys)


def by_digits(row: Row, digits: Digits) -> None:
    """Choose, and sort what is chosen."""
    builder = row.builder
    listed = entries(builder, "listed")
    if row.length == row.wanted:
        with builder.loop(row.length, "place") as place:
            builder.store(listed.keys, place, row.key(place))
            builder.store(listed.places, place, tirx.Cast("int32", place))
    else:
        with builder.loop(row.length, "place") as place:
            builder.store(builder["keys"], place, row.key(place))
        _choose(row, digits, listed)
    digits.sort(builder, row.wanted, listed, entries(builder, "sorted"), row.give)


def _choose(row: Row, digits: Digits, listed: Entries) -> None:
    """Those before the last one that is wanted, and of its equals the first, as they come."""
    builder = row.builder
    left, bound = builder.local(1, "int32"), builder.local(1, digits.keys)
    builder.store(left, 0, constant(row.wanted, "int32"))
    builder.store(bound, 0, constant(0, digits.keys))
    for digit in reversed(range(digits.number)):
        _narrow(row, digits, digit, left, bound)
    filled, takes = builder.local(1, "int32"), builder.local(1, "int32")
    builder.store(filled, 0, constant(0, "int32"))
    with builder.loop(row.length, "place") as place:
        key, last = builder.load(builder["keys"], place), builder.load(bound, 0)
        builder.store(takes, 0, _one_if(key < last))
        with builder.when(tirx.And(key == last, builder.load(left, 0) > 0)):
            builder.store(left, 0, builder.load(left, 0) - 1)
            builder.store(takes, 0, constant(1, "int32"))
        with builder.when(builder.load(takes, 0) > 0):
            at = builder.load(filled, 0)
            builder.store(listed.keys, at, key)
            builder.store(listed.places, at, place)
            builder.store(filled, 0, at + 1)


def _narrow(row: Row, digits: Digits, digit: int, left: Any, bound: Any) -> None:
    """One more digit of the last key that is wanted, the higher ones of which are in ``bound``.

    ``left`` of those that begin with them are wanted, and then of those that begin with the digit.
    """
    builder, counts = row.builder, row.builder["counts"]
    digits.clear(builder, 1)
    with builder.loop(row.length, "place") as place:
        key = builder.load(builder["keys"], place)
        if digit == digits.number - 1:
            digits.count(builder, key, digit, 0)
        else:
            begins = digits.shifted(builder.load(bound, 0), digit + 1)
            with builder.when(digits.shifted(key, digit + 1) == begins):
                digits.count(builder, key, digit, 0)
    searching = builder.local(1, "int32")
    builder.store(searching, 0, constant(1, "int32"))
    shift = constant(digit * digits.width, digits.keys)
    with (
        builder.loop(digits.base, "value") as value,
        builder.when(builder.load(searching, 0) > 0),
    ):
        with builder.when(builder.load(counts, value) >= builder.load(left, 0)):
            higher = tirx.shift_left(tirx.Cast(digits.keys, value), shift)
            builder.store(bound, 0, tirx.bitwise_or(builder.load(bound, 0), higher))
            builder.store(searching, 0, constant(0, "int32"))
        with builder.when(builder.load(searching, 0) > 0):
            builder.store(left, 0, builder.load(left, 0) - builder.load(counts, value))


def _one_if(condition: Expr) -> Expr:
    return tirx.Select(condition, constant(1, "int32"), constant(0, "int32"))
