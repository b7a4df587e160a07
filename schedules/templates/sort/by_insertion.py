"""The best of a row, in a list that is kept in order."""

from __future__ import annotations

from ...tir.indices import Expr, Index
from ...tir.literals import constant
from ...tvm_late import tirx
from ..radix import entries
from .by_digits import one_if
from .form import BLOCK
from .row import Row

_FEW = 8  # that are looked at one by one


def by_insertion(row: Row) -> None:
    """List as many as are wanted, then what comes before the last of them."""
    builder, best = row.builder, entries(row.builder, "best")
    with builder.loop(row.wanted, "place") as place:
        _insert(row, place, place)
    rest = row.length - row.wanted
    if row.is_dense:
        with builder.loop(rest // BLOCK, "block") as block:
            first = builder.let(row.wanted + block * BLOCK)
            with builder.when(_some(row, first, BLOCK)), builder.loop(BLOCK // _FEW, "few") as few:
                begin = builder.let(first + few * _FEW)
                with builder.when(_some(row, begin, _FEW)):
                    _look(row, begin, _FEW)
        done = rest // BLOCK * BLOCK
        _look(row, row.wanted + done, rest - done)
    else:
        _look(row, row.wanted, rest)
    with builder.loop(row.wanted, "rank") as rank:
        row.give(rank, builder.load(best.places, rank))


def _some(row: Row, first: Index, count: int) -> Expr:
    """Whether any of some elements comes before the last one."""
    builder, best = row.builder, entries(row.builder, "best")
    some, worst = builder.local(1, "int32"), builder.local(1, row.keys)
    builder.store(worst, 0, builder.load(best.keys, row.wanted - 1))
    builder.store(some, 0, constant(0, "int32"))
    with builder.loop(count, "place", first) as place:
        more = one_if(row.key(place) < builder.load(worst, 0))
        builder.store(some, 0, tirx.bitwise_or(builder.load(some, 0), more))
    return builder.load(some, 0) > 0


def _look(row: Row, first: Index, count: Index) -> None:
    """Insert those that come before the last one."""
    builder, best = row.builder, entries(row.builder, "best")
    if isinstance(count, int) and count == 0:
        return
    last = row.wanted - 1
    with (
        builder.loop(count, "place", first) as place,
        builder.when(row.key(place) < builder.load(best.keys, last)),
    ):
        _insert(row, place, last)


def _insert(row: Row, place: Index, held: Index) -> None:
    """One more into the first ``held``; what is after these goes."""
    builder, best = row.builder, entries(row.builder, "best")
    place = constant(place, "int32") if isinstance(place, int) else place
    key, rank = builder.local(1, row.keys), builder.local(1, "int32")
    builder.store(key, 0, row.key(place))
    builder.store(rank, 0, constant(0, "int32"))
    with builder.loop(held, "other") as other:
        before = one_if(builder.load(best.keys, other) <= builder.load(key, 0))
        builder.store(rank, 0, builder.load(rank, 0) + before)
    with builder.loop(held - builder.load(rank, 0), "moved") as moved:
        to = held - moved
        builder.store(best.keys, to, builder.load(best.keys, to - 1))
        builder.store(best.places, to, builder.load(best.places, to - 1))
    builder.store(best.keys, builder.load(rank, 0), builder.load(key, 0))
    builder.store(best.places, builder.load(rank, 0), place)
