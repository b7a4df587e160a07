"""The first of a row by their keys' digits: which they are, then their order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...emit.builder import PhaseBuilder
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from ..radix import Digits, Entries, Scratch, entries
from .in_order import give_in_order
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
        choose(builder, digits, builder["keys"], row.length, row.wanted, listed)
    give_in_order(row, digits, listed)


def choose(
    builder: PhaseBuilder,
    digits: Digits,
    keys: Any,
    count: Index,
    wanted: int,
    listed: Entries,
    place_of: Callable[[Expr], Expr] = lambda entry: entry,
) -> Any:
    """List the first ``wanted`` of ``count`` keys, as they come; a local array of the last's key.

    These are the keys before that one, and of its equals the first. The list may be where the keys
    are.
    """
    left, bound = builder.local(1, "int32"), builder.local(1, digits.keys)
    builder.store(left, 0, constant(wanted, "int32"))
    builder.store(bound, 0, constant(0, digits.keys))
    differing = _differing_bits(builder, digits, keys, count)
    for digit in reversed(range(digits.number)):
        mask = constant((digits.base - 1) << (digit * digits.width), digits.keys)
        differs = builder.let(tirx.bitwise_and(builder.load(differing, 0), mask))
        zero = constant(0, digits.keys)
        with builder.when(differs != zero):
            _narrow(builder, digits, digit, keys, count, left, bound)
        with builder.when(differs == zero):
            same = tirx.bitwise_and(builder.load(keys, 0), mask)
            builder.store(bound, 0, tirx.bitwise_or(builder.load(bound, 0), same))
    filled, takes = builder.local(1, "int32"), builder.local(1, "int32")
    builder.store(filled, 0, constant(0, "int32"))
    with builder.loop(count, "place") as place:
        key, last = builder.let(builder.load(keys, place)), builder.load(bound, 0)
        builder.store(takes, 0, one_if(key < last))
        with builder.when(tirx.And(key == last, builder.load(left, 0) > 0)):
            builder.store(left, 0, builder.load(left, 0) - 1)
            builder.store(takes, 0, constant(1, "int32"))
        with builder.when(builder.load(takes, 0) > 0):
            at = builder.load(filled, 0)
            builder.store(listed.keys, at, key)
            builder.store(listed.places, at, place_of(place))
            builder.store(filled, 0, at + 1)
    return bound


def _differing_bits(builder: PhaseBuilder, digits: Digits, keys: Any, count: Index) -> Any:
    """Those in which some of the keys differ from the first, in a local array of one: numbers of
    few values have few."""
    differing, first = builder.local(1, digits.keys), builder.local(1, digits.keys)
    builder.store(differing, 0, constant(0, digits.keys))
    builder.store(first, 0, builder.load(keys, 0))
    with builder.loop(count, "place") as place:
        more = tirx.bitwise_xor(builder.load(keys, place), builder.load(first, 0))
        builder.store(differing, 0, tirx.bitwise_or(builder.load(differing, 0), more))
    return differing


def _narrow(
    builder: PhaseBuilder,
    digits: Digits,
    digit: int,
    keys: Any,
    count: Index,
    left: Any,
    bound: Any,
) -> None:
    """One more digit of the last key that is wanted, the higher ones of which are in ``bound``.

    ``left`` of those that begin with them are wanted, and then of those that begin with the digit.
    """
    counts = builder["counts"]
    digits.clear(builder, 1)
    with builder.loop(count, "place") as place:
        key = builder.load(keys, place)
        if digit == digits.number - 1:
            digits.count(builder, key, digit, 0)
        else:
            begins = digits.shifted(builder.load(bound, 0), digit + 1)
            with builder.when(digits.shifted(key, digit + 1) == begins):
                digits.count(builder, key, digit, 0)
    value = builder.local(1, "int32")
    builder.store(value, 0, constant(0, "int32"))
    count_of = partial(builder.load, counts)
    with builder.repeated(count_of(builder.load(value, 0)) < builder.load(left, 0)):
        at = builder.let(builder.load(value, 0))
        builder.store(left, 0, builder.load(left, 0) - count_of(at))
        builder.store(value, 0, at + 1)
    shift = constant(digit * digits.width, digits.keys)
    higher = tirx.shift_left(tirx.Cast(digits.keys, builder.load(value, 0)), shift)
    builder.store(bound, 0, tirx.bitwise_or(builder.load(bound, 0), higher))


def one_if(condition: Expr) -> Expr:
    """A condition as a number."""
    return tirx.Select(condition, constant(1, "int32"), constant(0, "int32"))
