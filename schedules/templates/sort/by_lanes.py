"""The first few of several rows at once, a lane for each row.

What is wanted is a list of keys and one of places, in order, through which each element goes: in
registers where it is short, else in L1. It comes before those of the list whose keys are greater:
of equals the lower place is there already. All these comparisons are with the element itself, so
that none waits for another.
"""

from __future__ import annotations

from typing import Any

from ...emit.builder import PhaseBuilder
from ...ir.dtype import DTYPES
from ...tir.indices import Expr, Index, divide, modulo, tail
from ...tir.order import key_dtype, key_of
from ...tvm_late import tirx
from ..radix import Scratch
from .by_digits import one_if
from .cycles import FEW
from .form import Sort

_KEYS, _PLACES = "best keys", "best places"


def reserve(scratch: Scratch, form: Sort) -> None:
    """What ``by_lanes`` needs."""
    if form.wanted > FEW:
        for name in (_KEYS, _PLACES):
            scratch.add(name, (form.wanted + 1) * form.together, _type_of(form))


def by_lanes(builder: PhaseBuilder, form: Sort, number: Index, blocks: int) -> None:
    """Block ``number`` of rows, of which each outer index has ``blocks``."""
    outer, length, inner = form.sizes
    wanted, step = form.wanted, form.together
    kind = _Rows if wanted <= FEW else _ManyWanted
    if form.goes_on:
        for begin, extent in builder.block(number, step, outer * inner):
            for offset, lanes in tail(0, extent, step):
                first = builder.let(divide(begin + offset, inner) * inner)
                kind(builder, form, lanes).sort(first * length, first * wanted)
        return
    outer, block = builder.let(divide(number, blocks)), builder.let(modulo(number, blocks))
    for begin, extent in builder.block(block, step, inner):
        for offset, lanes in tail(0, extent, step):
            column = builder.let(begin + offset)
            source = builder.let(outer * (length * inner) + column)
            kind(builder, form, lanes).sort(source, outer * (wanted * inner) + column)


def _type_of(form: Sort) -> str:
    """Of keys and places; comparisons of signed ones are instructions."""
    return f"int{max(32, DTYPES[key_dtype(form.workload.inputs[0].dtype)].bits)}"


class _Rows:
    """Some rows, a lane for each."""

    def __init__(self, builder: PhaseBuilder, form: Sort, lanes: int) -> None:
        self._builder, self._form, self._lanes = builder, form, lanes
        self._dtype = form.workload.inputs[0].dtype
        self._type = _type_of(form)
        self._width = min(lanes, form.target.lanes(DTYPES[self._type]))  # of one register
        self._key = builder.local(lanes, self._type)
        self._begin()

    def sort(self, source: Expr, target: Expr) -> None:
        """The rows whose elements and results begin there."""
        builder, form = self._builder, self._form
        _, length, _ = form.sizes
        self._fill(source)
        with builder.loop(length - form.wanted, "place", form.wanted) as place:
            self._read(source, place)
            self._enter(place)
        self._give(target)

    def _row(self, lane: Expr, extent: Index) -> Expr:
        """How far a lane's row begins from the first one, where rows have so many elements."""
        inner = self._form.sizes[2]
        if not self._form.goes_on:
            return lane
        return divide(lane, inner) * (extent * inner) + modulo(lane, inner)

    def _begin(self) -> None:
        """Lists of nothing."""
        builder, wanted = self._builder, range(self._form.wanted)
        self._keys = [builder.local(self._lanes, self._type) for _ in wanted]
        self._places = [builder.local(self._lanes, self._type) for _ in wanted]

    def _fill(self, source: Expr) -> None:
        """As many as are wanted."""
        for place in range(self._form.wanted):
            self._read(source, place)
            self._insert(tirx.const(place, "int32"), place)

    def _enter(self, place: Expr) -> None:
        """What was read into full lists."""
        self._insert(place, self._form.wanted)

    def _give(self, target: Expr) -> None:
        for rank, places in enumerate(self._places):
            self._give_one(target, rank, places, 0)

    def _give_one(self, target: Expr, rank: Index, places: Any, at: Index) -> None:
        """Number ``rank`` of each row, whose places are ``at`` there."""
        builder, along = self._builder, self._form.sizes[2]
        with builder.vector(self._lanes) as lane:
            found = tirx.Cast(self._form.workload.output.dtype, builder.load(places, at + lane))
            row = self._row(lane, self._form.wanted)
            builder.store(builder["out"], target + rank * along + row, found)

    def _read(self, source: Expr, place: Index) -> None:
        """The keys of an element of each row."""
        builder = self._builder
        _, length, along = self._form.sizes
        with builder.vector(self._lanes) as lane:
            x = builder.load(builder["in0"], source + place * along + self._row(lane, length))
            key = key_of(x, self._dtype, bool(self._form.node.attr("largest")))
            builder.store(self._key, lane, self._signed(key))

    def _signed(self, key: Expr) -> Expr:
        bits = DTYPES[key_dtype(self._dtype)].bits
        if bits < DTYPES[self._type].bits:
            return tirx.Cast(self._type, key)
        flipped = tirx.bitwise_xor(key, tirx.const(1 << (bits - 1), key_dtype(self._dtype)))
        return tirx.call_intrin(self._type, "tirx.reinterpret", flipped)

    def _insert(self, place: Expr, listed: int) -> None:
        """What was read into lists of so many; the last ones go where these are all wanted."""
        builder, place = self._builder, tirx.Cast(self._type, place)
        for part in range(0, self._lanes, self._width):
            for rank in reversed(range(min(listed + 1, self._form.wanted))):
                with builder.vector(self._width) as lane:
                    self._update(part + lane, rank, place, is_last=rank == listed)

    def _update(self, at: Expr, rank: int, place: Expr, *, is_last: bool) -> None:
        """Number ``rank`` of the lists: itself, the one before it or what is new; where it
        ``is_last``, there has been none."""
        builder = self._builder
        new = builder.load(self._key, at)
        own, own_place = (builder.load(x[rank], at) for x in (self._keys, self._places))
        key, found = new, place
        if rank:
            before, its_place = (builder.load(x[rank - 1], at) for x in (self._keys, self._places))
            key, found = tirx.max(before, new), tirx.Select(new < before, its_place, place)
        if not is_last:
            key, found = tirx.min(own, key), tirx.Select(new < own, found, own_place)
        builder.store(self._places[rank], at, found)
        builder.store(self._keys[rank], at, key)


class _ManyWanted(_Rows):
    """Lists in memory, which begin with what is before all keys, so that every one has another
    before it."""

    def _begin(self) -> None:
        builder, least = self._builder, tirx.min_value(self._type)
        self._all_keys, self._all_places = builder[_KEYS], builder[_PLACES]
        with builder.vector(self._lanes) as lane:
            builder.store(self._all_keys, lane, least)

    def _fill(self, source: Expr) -> None:
        with self._builder.loop(self._form.wanted, "filled") as place:
            self._read(source, place)
            self._move(place, place, is_last=True)
            self._insert(place, place)

    def _enter(self, place: Expr) -> None:
        """Many a time no row's element comes before its last one."""
        builder, last = self._builder, self._form.wanted * self._lanes
        some = builder.local(1, "int32")
        builder.store(some, 0, tirx.const(0, "int32"))
        with builder.loop(self._lanes, "lane") as lane:
            enters = builder.load(self._key, lane) < builder.load(self._all_keys, last + lane)
            more = tirx.bitwise_or(builder.load(some, 0), one_if(enters))
            builder.store(some, 0, more)
        with builder.when(builder.load(some, 0) > 0):
            self._insert(place, self._form.wanted)

    def _insert(self, place: Expr, listed: Index) -> None:
        with self._builder.loop(listed, "other") as other:
            self._move(listed - 1 - other, place, is_last=False)

    def _move(self, rank: Index, place: Expr, *, is_last: bool) -> None:
        """As ``_update``, all lanes."""
        builder, before = self._builder, rank * self._lanes
        place = tirx.Cast(self._type, place)
        with builder.vector(self._lanes) as lane:
            new = builder.load(self._key, lane)
            first, own = (
                builder.load(self._all_keys, before + at) for at in (lane, lane + self._lanes)
            )
            its_place, own_place = (
                builder.load(self._all_places, before + at) for at in (lane, lane + self._lanes)
            )
            key, found = tirx.max(first, new), place
            if not is_last:
                key, found = tirx.min(own, key), tirx.Select(new < own, place, own_place)
            # In the other order LLVM makes a masked store of it, which takes AMD's 12 cycles.
            found = tirx.Select(new < first, its_place, found)
            builder.store(self._all_places, before + self._lanes + lane, found)
            builder.store(self._all_keys, before + self._lanes + lane, key)

    def _give(self, target: Expr) -> None:
        with self._builder.loop(self._form.wanted, "rank") as rank:
            self._give_one(target, rank, self._all_places, (rank + 1) * self._lanes)
