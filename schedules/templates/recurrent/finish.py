"""What follows the sums of a register tile: the cells of its units, which give h."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from ...emit.braid import braid
from ...emit.tile import LINE
from ...tir.indices import Expr, Index, modulo, tail
from ...tvm_late import tirx
from .cells import Unit
from .places import Places, Step
from .sums import Sums, Tile

_TOGETHER = 2  # vectors of cells at once: their long chains of operations then overlap


class _Piece(NamedTuple):
    """So many units of a row of the tile, from ``offset`` on, each a lane."""

    row: int
    offset: int
    lanes: int


@dataclass(frozen=True)
class Finish:
    """Of a tile in a step."""

    places: Places
    step: Step
    tile: Tile
    sums: Sums

    def write(self) -> None:
        """All cells."""
        builder = self.places.builder
        for pieces in self._alike():
            writers = [self._cell(piece) for piece in pieces]
            with builder.vector(pieces[0].lanes) as lane:
                braid(builder, [partial(write, lane) for write in writers])

    def _alike(self) -> Iterator[list[_Piece]]:
        """Pieces of the same width, some at once."""
        lanes, high = self.places.form.lanes, self.tile.high
        vectors = tail(0, self.tile.units, lanes)
        for wide in dict.fromkeys(width for _, width in vectors):
            offsets = [offset for offset, width in vectors if width == wide]
            pieces = [_Piece(row, offset, wide) for row in range(high) for offset in offsets]
            for first in range(0, len(pieces), _TOGETHER):
                yield pieces[first : first + _TOGETHER]

    def _cell(self, piece: _Piece) -> Callable[[Expr], None]:
        """What writes a lane."""
        places, layer, step = self.places, self.places.form.layer, self.step
        builder, load = places.builder, places.builder.load
        at = builder.let(self.tile.row + piece.row)
        unit = builder.let(self.tile.unit + piece.offset)
        given = builder.let(places.given(step, at) + unit)
        out = builder.let(places.out(step.rows, at, step.time) + unit)
        before, after = (self._planes(at, unit, step.step + i) for i in range(2))
        if places.form.streams:
            self._ask_for_next(at, unit, piece.lanes)
        runs = self._runs(at)

        def write(lane: Expr) -> None:
            def product(gate: int) -> Expr:
                return self.sums.element(gate, piece.row, piece.offset + lane)

            def of_input(gate: int) -> Expr:
                return load(places.operand("gates"), given + gate * layer.hidden + lane)

            def state(name: str) -> Expr:
                return load(builder["state"], before[name] + lane)

            def store(name: str, value: Expr) -> None:
                shown = kept = builder.keep(value)
                if runs is not None and name in ("hidden", "cell"):
                    shown = tirx.Select(runs, kept, tirx.const(0.0, layer.dtype))
                    kept = tirx.Select(runs, kept, state(name))
                if name == "hidden" and "sequence" in layer.gives:
                    builder.store(builder["out"], out + lane, shown)
                builder.store(builder["state"], after[name] + lane, kept)

            def operand(name: str, number: int) -> Expr:
                return load(places.operand(name), self._place(name, number) + unit + lane)

            cell = Unit(layer, builder.keep, product, of_input, state, store, operand)
            cell.compute(step.number)

        return write

    def _planes(self, row: Index, unit: Index, step: Index) -> dict[str, Index]:
        """Where a unit's state lies before a step, by the names of planes."""
        planes = {"hidden": modulo(step, 2), **self.places.form.planes}
        let, state = self.places.builder.let, self.places.state
        return {n: let(state(self.step.rows, row, p) + unit) for n, p in planes.items()}

    def _place(self, name: str, number: int) -> Index:
        """In an operand that has numbers for each unit."""
        count = 3 if name == "peepholes" else 1
        return (self.step.rows.direction * count + number) * self.places.form.layer.hidden

    def _runs(self, row: Index) -> Expr | None:
        """Whether a row's sequence is as long; None where all are."""
        places, step = self.places, self.step
        if "lengths" not in places.form.layer.operands:
            return None
        length = places.builder.load(places.operand("lengths"), step.rows.first + row)
        return places.builder.let(tirx.Cast("int32", step.time < length)) != 0

    def _ask_for_next(self, row: Index, unit: Index, wide: int) -> None:
        """So many units of each gate of what the input gives to the next step."""
        places, step = self.places, self.step
        next_one = places.builder.let(places.given(step, row, step.onward) + unit)
        for gate in places.form.passes[step.number]:
            gates, first = places.operand("gates"), next_one + gate * places.form.layer.hidden
            for line in range(0, wide, LINE):
                places.builder.prefetch(gates, first + line, level=2)
