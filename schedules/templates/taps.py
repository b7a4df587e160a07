"""The taps of one row of a window for a tile of outputs, each channel by itself.

They are written out, but for long rows, of which a few at once are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..emit.bfloat16 import BITS, widened
from ..emit.builder import PhaseBuilder
from ..emit.tile import RegisterTile, splat, vector_index
from ..tir.indices import Expr, Index, ceildiv, divide, modulo
from ..tvm_late import tirx
from .window import Axis, ColumnTile, column_tiles

_MOST_TAPS = 32  # of a row with code of their own
MOST_WRITTEN = 64  # of all tiles at borders, with code of their own
_AT_ONCE = 8  # of longer rows
Combine = Callable[[Expr, Expr, Expr | None], Expr]  # of a sum, an input and its weight


@dataclass(frozen=True)
class Vectors:
    """Rows of channels: the first begins at ``first`` and the next ``pitch`` elements later, floats
    or the bits of bfloat16.

    Each element stands for ``repeats`` channels, and so many elements are a group of which each of
    its channels takes the same one; both are powers of two.
    """

    buffer: Any
    first: Index
    pitch: int
    repeats: int = 1
    group: int = 1

    def load(
        self, builder: PhaseBuilder, row: Index, channel: int, lanes: int, taken: int = 0
    ) -> Expr:
        """``lanes`` channels of a row, of whole groups, and what each takes: of its group the
        element of number ``taken``."""
        first = self.first + row * self.pitch + channel // self.repeats
        count = ceildiv(lanes, self.repeats)
        if self.buffer.dtype == BITS.name:
            value = widened(builder, self.buffer, first, count)
        else:
            value = builder.load(self.buffer, vector_index(first, count))
        if count == lanes and self.group == 1:
            return value
        if count == 1:
            return splat(value, lanes)
        groups = (lane // (self.repeats * self.group) for lane in range(lanes))
        places = [tirx.const(group * self.group + taken, "int32") for group in groups]
        return tirx.Shuffle([builder.let(value)] * self.repeats, places)  # as many as are asked for


def multiply_add(old: Expr, value: Expr, weight: Expr | None) -> Expr:
    """What a convolution makes of a tap."""
    return old + value * weight


def are_many(columns: Axis, widths: Sequence[int], group: int = 1) -> bool:
    """Whether rows of windows have too many taps for each to have code of its own; an output takes
    ``group`` elements at each. Of those of open rows none at a border has."""
    taken = columns.kernel * group
    if columns.is_open:
        return taken > _MOST_TAPS
    tiles = column_tiles(columns, widths)
    written = sum(taken for tile in tiles if not tile.inside)
    return taken > _MOST_TAPS or written > MOST_WRITTEN


@dataclass(frozen=True)
class Taps:
    """Combines the taps of a row of a window with every output of a tile that has them.

    ``source`` begins at the first output's first tap, be it outside of the input; ``weights`` has
    one row for each tap and element of a group. Neighbouring outputs share what they load.
    """

    register: RegisterTile
    columns: Axis
    source: Vectors
    weights: Vectors | None
    combine: Combine = multiply_add

    def add(self, tile: ColumnTile) -> None:
        """Each tap written out."""
        if self.source.group > 1:
            self._columns(tile)
            return
        for tap, outputs in enumerate(tile.taps):
            self._tap(tap, outputs)

    def _columns(self, tile: ColumnTile) -> None:
        """Column by column of the input, so that registers hold sums and weights of a row's taps,
        and what the lanes take of one column at a time."""
        columns = self.columns
        readers: dict[int, list[tuple[int, int]]] = {}
        for tap, outputs in enumerate(tile.taps):
            for output in outputs:
                at = output * columns.stride + tap * columns.dilation
                readers.setdefault(at, []).append((tap, output))
        for part in range(len(self.register.parts)):
            for taken in range(self.source.group):
                for at, pairs in sorted(readers.items()):
                    value = self.register.builder.let(self._value(at, part, taken))
                    for tap, output in pairs:
                        self._update(tap, output, part, taken, value)

    def add_many(self, tile: ColumnTile, begin: Index) -> None:
        """In loops; the first output's window begins at column ``begin``.

        Of a tile at a border, first the taps that some outputs have, then those that all have.
        """
        columns, every = self.columns, range(tile.width)
        if tile.inside:
            self._loop(0, columns.kernel, every)
            return
        before, shared, after = columns.seen_taps(self.register.builder, begin, tile.width)
        self._some(*before, every, begin)
        self._loop(*shared, every)
        self._some(*after, every, begin)

    def _some(self, first: Index, count: Index, outputs: range, begin: Index) -> None:
        """Taps that outputs may have."""
        builder, columns = self.register.builder, self.columns
        with builder.loop(count, "kw", first) as tap:
            for output in outputs:
                at = builder.let(begin + output * columns.stride + tap * columns.dilation)
                with builder.when(tirx.all(at >= 0, columns.size - at > 0)):
                    self._tap(tap, (output,))

    def _loop(self, first: Index, count: Index, outputs: range) -> None:
        """Taps that all outputs have, some at once."""
        builder = self.register.builder
        blocks, rest = divide(count, _AT_ONCE), modulo(count, _AT_ONCE)
        with builder.loop(blocks, "block") as block:
            for tap in range(_AT_ONCE):
                self._tap(first + block * _AT_ONCE + tap, outputs)
        with builder.loop(rest, "kw") as tap:
            self._tap(first + blocks * _AT_ONCE + tap, outputs)

    def _tap(self, tap: Index, outputs: Sequence[int]) -> None:
        columns = self.columns
        for part in range(len(self.register.parts)):
            for taken in range(self.source.group):
                for output in outputs:
                    at = output * columns.stride + tap * columns.dilation
                    self._update(tap, output, part, taken, self._value(at, part, taken))

    def _value(self, at: Index, part: int, taken: int) -> Expr:
        column, lanes = self.register.parts[part]
        return self.source.load(self.register.builder, at, column, lanes, taken)

    def _update(self, tap: Index, output: int, part: int, taken: int, value: Expr) -> None:
        weight = None
        if self.weights is not None:
            (column, lanes), row = self.register.parts[part], tap * self.source.group + taken
            weight = self.weights.load(self.register.builder, row, column, lanes)
        self.register.update(output, part, partial(self._combined, value, weight))

    def _combined(self, value: Expr, weight: Expr | None, old: Expr) -> Expr:
        return self.combine(old, value, weight)
