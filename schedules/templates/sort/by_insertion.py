"""The best of a row, in a list that is kept in order."""

from __future__ import annotations

from typing import Any

from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from ..radix import entries
from .by_digits import one_if
from .cycles import BLOCK
from .row import Row


def by_insertion(row: Row) -> None:
    """List as many as are wanted, then what comes before the last of them."""
    builder, best = row.builder, entries(row.builder, "best")
    with builder.loop(row.wanted, "place") as place:
        _begin(row, place)
    rest = row.length - row.wanted
    with builder.loop(rest // BLOCK, "block") as block:
        _block(row, builder.let(row.wanted + block * BLOCK), BLOCK)
    done = rest // BLOCK * BLOCK
    _block(row, row.wanted + done, rest - done)
    with builder.loop(row.wanted, "rank") as rank:
        row.give(rank, builder.load(best.places, rank))


def _block(row: Row, first: Index, count: Index) -> None:
    """Look whether any of a block's elements comes before the last one, and then which."""
    builder, best = row.builder, entries(row.builder, "best")
    if isinstance(count, int) and count == 0:
        return
    keys, worst = builder.local(BLOCK, row.keys), builder.local(1, row.keys)
    some = builder.local(1, "int32")
    builder.store(worst, 0, builder.load(best.keys, row.wanted - 1))
    builder.store(some, 0, constant(0, "int32"))
    with builder.loop(count, "other") as other:
        key = builder.let(row.key(first + other))
        builder.store(keys, other, key)
        more = one_if(key < builder.load(worst, 0))
        builder.store(some, 0, tirx.bitwise_or(builder.load(some, 0), more))
    with builder.when(builder.load(some, 0) > 0):
        _insert_some(row, first, count, keys, worst)


def _insert_some(row: Row, first: Index, count: Index, keys: Any, worst: Any) -> None:
    """Insert those of a block that come before the last one.

    They are put side by side first, and inserted whatever became of the last one meanwhile: which
    ones they are no processor foresees, so that each branch on it would take as long as all this.
    """
    builder = row.builder
    chosen, found = builder.local(BLOCK, "int32"), builder.local(1, "int32")
    builder.store(found, 0, constant(0, "int32"))
    with builder.loop(count, "other") as other:
        at = builder.let(builder.load(found, 0))
        builder.store(chosen, at, other)
        builder.store(found, 0, at + one_if(builder.load(keys, other) < builder.load(worst, 0)))
    with builder.loop(builder.load(found, 0), "number") as number:
        other = builder.let(builder.load(chosen, number))
        _insert(row, builder.let(builder.load(keys, other)), builder.let(first + other))


def _insert(row: Row, key: Expr, place: Expr) -> None:
    """One more into the list, behind those that are not after it; the last one goes."""
    builder, best = row.builder, entries(row.builder, "best")
    with builder.loop(row.wanted - 1, "other") as other:
        at = builder.let(row.wanted - 1 - other)
        before, own = (builder.let(builder.load(best.keys, i)) for i in (at - 1, at))
        stays, moves = own <= key, key < before
        builder.store(best.keys, at, _chosen(stays, own, moves, before, key))
        own, before = (builder.let(builder.load(best.places, i)) for i in (at, at - 1))
        builder.store(best.places, at, _chosen(stays, own, moves, before, place))
    first = builder.let(builder.load(best.keys, 0))
    is_first = key < first
    builder.store(best.keys, 0, tirx.Select(is_first, key, first))
    builder.store(best.places, 0, tirx.Select(is_first, place, builder.load(best.places, 0)))


def _chosen(stays: Expr, own: Expr, moves: Expr, before: Expr, new: Expr) -> Expr:
    return tirx.Select(stays, own, tirx.Select(moves, before, new))


def _begin(row: Row, place: Index) -> None:
    """Element ``place`` into a list of as many before it."""
    builder, best = row.builder, entries(row.builder, "best")
    place = constant(place, "int32") if isinstance(place, int) else place
    key, rank = builder.local(1, row.keys), builder.local(1, "int32")
    builder.store(key, 0, row.key(place))
    builder.store(rank, 0, constant(0, "int32"))
    with builder.loop(place, "other") as other:
        before = one_if(builder.load(best.keys, other) <= builder.load(key, 0))
        builder.store(rank, 0, builder.load(rank, 0) + before)
    with builder.loop(place - builder.load(rank, 0), "moved") as moved:
        to = place - moved
        builder.store(best.keys, to, builder.load(best.keys, to - 1))
        builder.store(best.places, to, builder.load(best.places, to - 1))
    builder.store(best.keys, builder.load(rank, 0), builder.load(key, 0))
    builder.store(best.places, builder.load(rank, 0), place)
