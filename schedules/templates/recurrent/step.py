"""One step of a sequence: products of h with the weights, then the cells of a block of units."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD
from ...emit.tile import RegisterTile, column_parts
from ...tir.indices import Expr, Index, modulo, tail
from ...tvm_late import tirx
from .cells import Unit
from .form import Group, Knobs, RecurrentLayer
from .places import Places, Step
from .weights import as_they_are, packed


@dataclass(frozen=True)
class _Tile:
    """A register tile: ``units`` from ``unit`` on, in block ``block``, of ``high`` rows.

    ``own`` are the vectors of each gate, (first unit, lanes); sums of ``groups`` come in turns.
    """

    block: Index
    unit: Index
    units: int
    row: Index
    high: int
    own: list[tuple[int, int]]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class _Sums:
    """By gate, the register tile of its group and its number there; ``own`` vectors each."""

    of: Mapping[int, tuple[RegisterTile, int]]
    own: int

    def element(self, gate: int, row: int, part: int, column: Index) -> Expr:
        """The sum of a unit, ``column`` of vector ``part``."""
        register, number = self.of[gate]
        return register.element(row, column, number * self.own + part)


@dataclass(frozen=True)
class Steps:
    """Writes steps; their weights are packed where these are known at build time."""

    places: Places
    form: RecurrentLayer
    knobs: Knobs
    is_packed: bool

    @property
    def width(self) -> int:
        """Units of a block."""
        return self.knobs.vectors * self.form.lanes

    def blocks(self, step: Step, first: Index, count: Index) -> None:
        """Some blocks of units, each for all rows: all but the first read weights from cache."""
        builder, rows, lanes = self.places.builder, step.rows, self.form.lanes
        with builder.loop(count, "block") as number:
            block = builder.let(first + _turned(step, number, count))
            for unit0, units in builder.block(block, self.width, self.form.layer.hidden):
                unit = builder.let(unit0)
                own = column_parts(units, lanes) if self.is_packed else tail(0, units, lanes)
                for row0, high in builder.pieces(rows.count, self.knobs.rows, "row"):
                    row = builder.let(row0)
                    groups = self.form.groups(step.number, self.knobs.gates)
                    self._tile(step, _Tile(block, unit, units, row, high, own, groups))

    def _tile(self, step: Step, tile: _Tile) -> None:
        of: dict[int, tuple[RegisterTile, int]] = {}
        for group in tile.groups:
            parts = [(g * self.width + c, n) for g in range(len(group.gates)) for c, n in tile.own]
            micro = replace(FLOAT32_MULTIPLY_ADD, a=self.form.element, b=self.form.element)
            register = RegisterTile(self.places.builder, tile.high, parts, micro)
            self._reduce(register, step, tile, group)
            of.update({gate: (register, i) for i, gate in enumerate(group.gates)})
        sums = _Sums(of, len(tile.own))
        for row in range(tile.high):
            for part, (column, lanes) in enumerate(tile.own):
                for offset, wide in tail(0, min(lanes, tile.units - column), lanes):
                    self._cells(sums, step, tile, row, part, offset, wide)

    def _reduce(self, register: RegisterTile, step: Step, tile: _Tile, group: Group) -> None:
        """The loop over K; of a state that is zero nothing is computed."""
        starts_empty = "hidden" not in self.form.layer.operands
        places, hidden, unroll = self.places, self.form.layer.hidden, self.knobs.unroll
        builder = places.builder
        plane = self.form.planes["reset"] if step.number else modulo(step.step, 2)
        state = builder.let(places.state(step.rows, tile.row, plane))
        if self.is_packed:
            weights = packed(places, step, group, tile.block, self.width)
        else:
            weights = as_they_are(places, step, group, tile.unit, self.width)

        def steps(first: int, count: int, written: int) -> None:
            with builder.loop(count, "k") as block:
                for u in range(written):
                    k = builder.let(_turned(step, first + block * written + u, hidden))
                    of_rows, of_units = partial(scalar, k), partial(weights, k)
                    if 1 < tile.high < len(register.parts):
                        register.step_by_parts(of_rows, of_units)
                    else:
                        register.step(of_rows, of_units)

        def scalar(k: Index, row: int) -> Expr:
            return builder.load(builder["state"], state + row * self.form.row_pitch + k)

        if isinstance(step.step, int) and step.step == 0 and starts_empty:
            return
        with builder.when(step.step > 0) if starts_empty else nullcontext():
            if hidden >= unroll:
                steps(0, hidden // unroll, unroll)
            if hidden % unroll:
                steps(hidden // unroll * unroll, 1, hidden % unroll)

    def _cells(
        self,
        sums: _Sums,
        step: Step,
        tile: _Tile,
        row: int,
        part: int,
        offset: int,
        wide: int,
    ) -> None:
        """``wide`` units of a part of a row, from ``offset`` on, each a lane."""
        places, layer, rows = self.places, self.form.layer, step.rows
        builder, load = places.builder, places.builder.load
        at, unit = builder.let(tile.row + row), builder.let(tile.unit + tile.own[part][0] + offset)
        given = builder.let(places.given(step, at) + unit)
        out = builder.let(places.out(rows, at, step.time) + unit)
        before, after = (
            {
                name: builder.let(places.state(rows, at, plane) + unit)
                for name, plane in {"hidden": modulo(step.step + i, 2), **self.form.planes}.items()
            }
            for i in range(2)
        )
        if self.form.streams:
            self._ask_for_next(step, at, unit)
        runs: Expr = None
        if "lengths" in layer.operands:
            length = load(places.operand("lengths"), rows.first + at)
            runs = builder.let(tirx.Cast("int32", step.time < length)) != 0
        with builder.vector(wide) as lane:

            def product(gate: int) -> Expr:
                return sums.element(gate, row, part, offset + lane)

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
                count = 3 if name == "peepholes" else 1
                place = (rows.direction * count + number) * layer.hidden + unit + lane
                return load(places.operand(name), place)

            cell = Unit(layer, builder.keep, product, of_input, state, store, operand)
            cell.compute(step.number)

    def _ask_for_next(self, step: Step, row: Index, unit: Index) -> None:
        """A vector of each gate of what the input gives to the next step."""
        places, layer = self.places, self.form.layer
        next_one = places.builder.let(places.given(step, row, step.onward) + unit)
        for gate in self.form.passes[step.number]:
            gates = places.operand("gates")
            places.builder.prefetch(gates, next_one + gate * layer.hidden, level=2)


def _turned(step: Step, number: Index, count: Index) -> Index:
    """``number`` of ``count``, backwards in every other step: what was read last is read first, as
    long as it is in the cache."""
    odd = modulo(step.step, 2)
    if isinstance(odd, int):
        return count - 1 - number if odd else number
    return number + odd * (count - 1 - 2 * number)
