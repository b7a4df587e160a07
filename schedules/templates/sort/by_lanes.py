"""The first few of several rows at once, a lane for each row.

What is wanted is a list of keys and one of places in registers, in order, through which each
element goes. It comes before those of the list whose keys are greater: of equals the lower place is
there already. All these comparisons are with the element itself, so that none waits for another.
"""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...ir.dtype import DTYPES
from ...tir.indices import Expr, Index, divide, modulo, tail
from ...tir.order import key_dtype, key_of
from ...tvm_late import tirx
from .form import Sort


def by_lanes(builder: PhaseBuilder, form: Sort, number: Index, blocks: int) -> None:
    """Block ``number`` of rows, of which each outer index has ``blocks``."""
    outer, length, inner = form.sizes
    wanted, step = form.wanted, form.together
    if inner == 1:  # all rows follow one another
        for begin, extent in builder.block(number, step, outer):
            for offset, lanes in tail(0, extent, step):
                row = builder.let(begin + offset)
                _Rows(builder, form, lanes, (length, 1), (wanted, 1)).sort(
                    row * length, row * wanted
                )
        return
    outer, block = builder.let(divide(number, blocks)), builder.let(modulo(number, blocks))
    for begin, extent in builder.block(block, step, inner):
        for offset, lanes in tail(0, extent, step):
            column = builder.let(begin + offset)
            source = builder.let(outer * (length * inner) + column)
            rows = _Rows(builder, form, lanes, (1, inner), (1, inner))
            rows.sort(source, outer * (wanted * inner) + column)


class _Rows:
    """Some rows, and how far an element and a result lie from those of the next row and from the
    next ones of the row."""

    def __init__(
        self,
        builder: PhaseBuilder,
        form: Sort,
        lanes: int,
        apart: tuple[Index, Index],
        apart_out: tuple[Index, Index],
    ) -> None:
        self._builder, self._form, self._lanes = builder, form, lanes
        self._apart, self._apart_out = apart, apart_out
        self._dtype = form.workload.inputs[0].dtype
        bits = DTYPES[key_dtype(self._dtype)].bits
        self._type = f"int{max(32, bits)}"  # comparisons of signed ones are instructions
        self._width = min(lanes, form.target.lanes(DTYPES[self._type]))  # of one register
        self._key = builder.local(lanes, self._type)
        self._keys = [builder.local(lanes, self._type) for _ in range(form.wanted)]
        self._places = [builder.local(lanes, self._type) for _ in range(form.wanted)]

    def sort(self, source: Expr, target: Expr) -> None:
        """The rows whose elements and results begin there."""
        builder, form = self._builder, self._form
        _, length, _ = form.sizes
        for place in range(form.wanted):
            self._read(source, place)
            self._insert(tirx.const(place, "int32"), place)
        with builder.loop(length - form.wanted, "place", form.wanted) as place:
            self._read(source, place)
            self._insert(place, form.wanted)
        between, along = self._apart_out
        for rank, places in enumerate(self._places):
            with builder.vector(self._lanes) as lane:
                found = tirx.Cast(form.workload.output.dtype, builder.load(places, lane))
                builder.store(builder["out"], target + rank * along + lane * between, found)

    def _read(self, source: Expr, place: Index) -> None:
        """The keys of an element of each row."""
        builder = self._builder
        between, along = self._apart
        with builder.vector(self._lanes) as lane:
            x = builder.load(builder["in0"], source + place * along + lane * between)
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
