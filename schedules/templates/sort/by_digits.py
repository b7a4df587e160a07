"""The first of a row by their keys' digits: which they are by binary ones, then their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...emit.builder import PhaseBuilder
from ...ir.dtype import DTYPES
from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from ..radix import Digits, Entries, Scratch, entries
from ..rows import reduce_row
from .in_order import give_in_order
from .row import Row


def reserve(scratch: Scratch, digits: Digits, length: int, wanted: int) -> None:
    """What ``by_digits`` needs. All of a row are their own list."""
    digits.reserve(scratch)
    if length != wanted:
        scratch.add("keys", length, digits.keys)
    scratch.add_entries("listed", wanted + 1, digits.keys)
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
        choose(row, builder["keys"], row.length, row.length, listed)
    give_in_order(row, digits, listed)


def choose(
    row: Row,
    keys: Any,
    count: Index,
    room: int,
    listed: Entries,
    place_of: Callable[[Expr], Expr] = lambda entry: entry,
) -> Any:
    """List the first ``row.wanted`` of ``count`` keys, as they come; a local array of a key.

    Of which they are those before it, and of its equals the first; after it are as many as are not
    wanted. The list may be where the keys are, or has room for one more. There may be ``room`` for
    more keys, whose places are filled here.
    """
    builder = row.builder
    if room is not count:
        with builder.loop(room - count, "place", count) as place:
            builder.store(keys, place, tirx.max_value(row.keys))  # before none
    left, bound = builder.local(1, "int32"), builder.local(1, row.keys)
    builder.store(left, 0, constant(row.wanted, "int32"))
    _find_last(row, keys, count, room, left, bound)
    filled = builder.local(1, "int32")
    builder.store(filled, 0, constant(0, "int32"))
    with builder.loop(count, "place") as place:
        key, at = builder.let(builder.load(keys, place)), builder.let(builder.load(filled, 0))
        builder.store(listed.keys, at, key)
        builder.store(listed.places, at, place_of(place))
        # No branches: which ones are listed no processor foresees.
        equals = one_if(key == builder.load(bound, 0))
        last = builder.let(tirx.min(equals, builder.load(left, 0)))
        builder.store(left, 0, builder.load(left, 0) - last)
        builder.store(filled, 0, at + one_if(key < builder.load(bound, 0)) + last)
    return bound


def _find_last(row: Row, keys: Any, count: Index, room: int, left: Any, bound: Any) -> None:
    """The greatest ``bound`` before which are fewer keys than wanted, bit by bit from the highest,
    or one before which are as many; and how many are ``left`` then.

    Each bit counts all keys, a vector at a time: a histogram of more bits at once reads them less
    often, but adds one by one.
    """
    builder = row.builder
    one, none = constant(1, row.keys), constant(0, row.keys)
    differing, bit = _differing_bits(builder, row.keys, keys, count), builder.local(1, row.keys)
    same = tirx.bitwise_and(builder.load(keys, 0), tirx.bitwise_not(builder.load(differing, 0)))
    builder.store(bound, 0, same)
    builder.store(bit, 0, constant(1 << (DTYPES[row.keys].bits - 1), row.keys))
    below, sums = builder.local(1, "int32"), f"int{max(32, DTYPES[row.keys].bits)}"
    builder.store(below, 0, constant(0, "int32"))
    lanes = row.target.lanes(DTYPES[sums])
    with builder.repeated(builder.load(bit, 0) != none):
        here = builder.let(builder.load(bit, 0))
        builder.store(bit, 0, tirx.shift_right(here, one))
        with builder.when(tirx.bitwise_and(builder.load(differing, 0), here) != none):
            tried = builder.let(tirx.bitwise_or(builder.load(bound, 0), here))
            after = reduce_row(
                builder, room, lanes, "sum", sums,
                lambda place: one_if(builder.load(keys, place) >= tried, sums),
            )  # fmt: skip
            before = builder.let(constant(room, "int32") - tirx.Cast("int32", after))
            with builder.when(before <= row.wanted):
                builder.store(bound, 0, tried)
                builder.store(below, 0, before)
            with builder.when(before == row.wanted):
                builder.store(bit, 0, none)
    builder.store(left, 0, builder.load(left, 0) - builder.load(below, 0))


def _differing_bits(builder: PhaseBuilder, dtype: str, keys: Any, count: Index) -> Any:
    """Those in which some of the keys differ from the first, in a local array of one: numbers of
    few values have few."""
    differing, first = builder.local(1, dtype), builder.local(1, dtype)
    builder.store(differing, 0, constant(0, dtype))
    builder.store(first, 0, builder.load(keys, 0))
    with builder.loop(count, "place") as place:
        more = tirx.bitwise_xor(builder.load(keys, place), builder.load(first, 0))
        builder.store(differing, 0, tirx.bitwise_or(builder.load(differing, 0), more))
    return differing


def one_if(condition: Expr, dtype: str = "int32") -> Expr:
    """A condition as a number."""
    return tirx.Select(condition, constant(1, dtype), constant(0, dtype))
