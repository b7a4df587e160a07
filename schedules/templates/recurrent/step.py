"""One step of a sequence: products of h with the weights, then the cells of a block of units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial, reduce

from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD
from ...emit.tile import RegisterTile, column_parts
from ...tir.indices import Expr, Index, ceildiv, divide, modulo, tail
from ...tvm_late import tirx
from ..powers import floor_power
from .finish import Finish
from .form import Knobs, RecurrentLayer
from .places import Places, Rows, Step
from .sums import Groups, Sums, Tile
from .weights import as_they_are, packed, share_of_next

_TURNS = 4  # of tiles at most


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
                    self._tile(step, Tile(block, unit, units, row, high, own, groups))

    def _tile(self, step: Step, tile: Tile) -> None:
        of: dict[int, tuple[RegisterTile, int]] = {}
        for groups in self._at_once(tile):
            gates = [gate for group in groups for gate in group.gates]
            parts = [(g * self.width + c, n) for g in range(len(gates)) for c, n in tile.own]
            micro = replace(FLOAT32_MULTIPLY_ADD, a=self.form.element, b=self.form.element)
            registers = [
                RegisterTile(self.places.builder, tile.high, parts, micro)
                for _ in range(self._turns(tile.high * len(parts)))
            ]
            self._reduce(registers, step, tile, groups)
            of.update({gate: (registers[0], i) for i, gate in enumerate(gates)})
        Finish(self.places, step, tile, Sums(of, len(tile.own))).write()

    def _at_once(self, tile: Tile) -> list[Groups]:
        """The groups of gates in as few parts as fit registers: a tile of fewer rows holds more."""
        groups, each = tile.groups, len(tile.groups[0].gates) * len(tile.own)
        count = max(
            n
            for n in range(1, len(groups) + 1)
            if n == 1 or (len(groups) % n == 0 and self.form.in_registers(tile.high, n * each))
        )
        return [groups[i : i + count] for i in range(0, len(groups), count)]

    def _turns(self, sums: int) -> int:
        """Tiles that take turns where one has few sums, each of which waits for the one before."""
        return floor_power(min(self.form.target.costs.sums // sums, _TURNS))

    def _reduce(
        self, registers: Sequence[RegisterTile], step: Step, tile: Tile, groups: Groups
    ) -> None:
        """The loop over K, into the first of these; nothing of a state that is zero, or where the
        sequences of all rows have ended."""
        starts_empty = "hidden" not in self.form.layer.operands
        hidden, builder = self.form.layer.hidden, self.places.builder
        if isinstance(step.step, int) and step.step == 0 and starts_empty:
            return
        unroll = max(self.knobs.unroll, len(registers))
        steps = self._steps(registers, step, tile, groups, unroll)
        with ExitStack() as conditions:
            if starts_empty:
                conditions.enter_context(builder.when(step.step > 0))
            if "lengths" in self.form.layer.operands:
                longest = self._longest(step.rows, tile)
                conditions.enter_context(builder.when(step.time < longest))
            if hidden >= unroll:
                steps(0, hidden // unroll, unroll)
            if hidden % unroll:
                steps(hidden // unroll * unroll, 1, hidden % unroll)
            for other in registers[1:]:
                registers[0].add(other)

    def _longest(self, rows: Rows, tile: Tile) -> Expr:
        """Steps of a tile's longest sequence."""
        builder, lengths = self.places.builder, self.places.operand("lengths")
        first = builder.let(rows.first + tile.row)
        return reduce(tirx.max, [builder.load(lengths, first + row) for row in range(tile.high)])

    def _steps(
        self,
        registers: Sequence[RegisterTile],
        step: Step,
        tile: Tile,
        groups: Groups,
        unroll: int,
    ) -> Callable[[int, int, int], None]:
        """What writes steps of K: the first, how often, and how many are written out."""
        places, hidden, builder = self.places, self.form.layer.hidden, self.places.builder
        plane = self.form.planes["reset"] if step.number else modulo(step.step, 2)
        state = builder.let(places.state(step.rows, tile.row, plane))
        shares = self._shares(step.rows.count)
        if self.is_packed:
            asks = self.form.asks(self.knobs.parts) and not shares
            weights = packed(places, step, groups, tile.block, self.width, asks=asks)
        else:
            weights = as_they_are(places, step, groups, tile.unit, self.width)
        ask = self._ask_for_next_block(step, tile, groups, shares, unroll) if shares else None

        def scalar(k: Index, row: int) -> Expr:
            return builder.load(builder["state"], state + row * self.form.row_pitch + k)

        def steps(first: int, count: int, written: int) -> None:
            with builder.loop(count, "k") as block:
                if ask:
                    ask(block)
                for u in range(written):
                    k = builder.let(_turned(step, first + block * written + u, hidden))
                    of_rows, of_units = partial(scalar, k), partial(weights, k)
                    register = registers[u % len(registers)]
                    if 1 < tile.high < len(register.parts):
                        register.step_by_parts(of_rows, of_units)
                    else:
                        register.step(of_rows, of_units)

        return steps

    def _shares(self, rows: Index) -> int:
        """Tiles of a block that ask for the next one together; 0 where none does."""
        form = self.form
        block = form.element.nbytes(form.layer.hidden * self.width * form.together)
        fits = isinstance(rows, int) and 2 * block <= form.target.l2
        tiles = ceildiv(rows, self.knobs.rows) if fits else 0
        return tiles if self.is_packed and form.asks(self.knobs.parts) and tiles > 1 else 0

    def _ask_for_next_block(
        self, step: Step, tile: Tile, groups: Groups, shares: int, unroll: int
    ) -> Callable[[Index], None]:
        """In each of the written-out steps of all tiles and groups as much as the others."""
        parts = self._at_once(tile)
        number = divide(tile.row, self.knobs.rows) * len(parts) + parts.index(groups)
        number = number * (self.form.layer.hidden // unroll)
        each = ceildiv(unroll * sum(len(g.gates) for g in groups) * self.width, shares)
        return share_of_next(self.places, step, tile.block, self.width, number, each)


def _turned(step: Step, number: Index, count: Index) -> Index:
    """``number`` of ``count``, backwards in every other step: what was read last is read first, as
    long as it is in the cache."""
    odd = modulo(step.step, 2)
    if isinstance(odd, int):
        return count - 1 - number if odd else number
    return number + odd * (count - 1 - 2 * number)
