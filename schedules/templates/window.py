"""Sliding windows: which taps of a kernel fall inside the input, for rows and for tiles of columns.

Vertical limits are computed when the kernel runs, once for each output row. Horizontal ones are
settled when it is built: the tiles at the borders get code of their own, so that the tiles in
between, which are nearly all, have no conditions. Where the width is known only at run time, each
tile asks once which of the two it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..emit.builder import PhaseBuilder
from ..ir.size import Size
from ..ir.workload import Node, Tensor
from ..tir.indices import Expr, Index, ceildiv, divide, modulo
from ..tvm_late import tirx


@dataclass(frozen=True)
class Axis:
    """One spatial direction of a window operator."""

    size: int  # of the input
    out: int  # of the output
    kernel: int
    stride: int
    pad: int  # before
    dilation: int

    def valid(self, position: int, tap: int) -> bool:
        """Whether output ``position`` reads inside the input at ``tap``."""
        return 0 <= position * self.stride - self.pad + tap * self.dilation < self.size

    @property
    def is_open(self) -> bool:
        """Whether it is known only at run time how long it is."""
        return isinstance(self.size, Size) or isinstance(self.out, Size)

    @property
    def stays_inside(self) -> bool:
        """Whether no output reads outside the input."""
        last = (self.out - 1) * self.stride - self.pad + (self.kernel - 1) * self.dilation
        return self.pad <= 0 and last < self.size

    @property
    def picks(self) -> bool:
        """Whether outputs read elements that are apart, all inside the input, from the first on."""
        return self.kernel == 1 and self.stride > 1 and self.pad == 0 and self.stays_inside

    @property
    def everywhere(self) -> range:
        """The outputs that read inside the input at every tap."""
        last = self.size - 1 + self.pad - (self.kernel - 1) * self.dilation
        return range(ceildiv(max(0, self.pad), self.stride), last // self.stride + 1)

    @property
    def share(self) -> float:
        """Of the taps of all outputs, those that read inside the input."""
        if isinstance(self.size, Size) or isinstance(self.out, Size):
            return 1.0
        return sum(map(len, self.taps(0, self.out))) / (self.out * self.kernel)

    def taps(self, first: int, width: int) -> tuple[range, ...]:
        """By tap, which of ``width`` outputs from ``first`` on read inside the input."""

        def inside(tap: int) -> range:
            before = self.pad - tap * self.dilation - first * self.stride
            begin, end = ceildiv(before, self.stride), ceildiv(self.size + before, self.stride)
            begin, end = (min(max(0, place), width) for place in (begin, end))
            return range(begin, max(begin, end))

        return tuple(map(inside, range(self.kernel)))

    def limits(self, builder: PhaseBuilder, position: Expr) -> tuple[Index, Index]:
        """First tap and number of taps inside the input, for a position known at run time."""
        first_in, last_in = -self.pad, (self.out - 1) * self.stride - self.pad
        if first_in >= 0 and last_in + (self.kernel - 1) * self.dilation < self.size:
            return 0, self.kernel
        origin = builder.let(position * self.stride - self.pad)
        zero = tirx.const(0, "int32")
        below = tirx.max(zero, 0 - origin)
        low = builder.let(tirx.truncdiv(below + (self.dilation - 1), self.dilation))
        above = tirx.max(zero, self.size - origin + (self.dilation - 1))
        high = tirx.min(tirx.const(self.kernel, "int32"), tirx.truncdiv(above, self.dilation))
        return low, builder.let(tirx.max(zero, high - low))

    def reads_inside(self, first: Expr, width: int) -> Expr:
        """Whether there are ``width`` outputs from ``first`` on that read inside the input at every
        tap, known at run time."""
        begin = first * self.stride - self.pad
        last = begin + (width - 1) * self.stride + max(0, self.kernel - 1) * self.dilation
        return tirx.all(begin >= 0, self.size - last > 0, self.out - first >= width)

    def seen_taps(
        self, builder: PhaseBuilder, begin: Index, outputs: int
    ) -> tuple[tuple[Index, Index], ...]:
        """(first tap, number) of those that some of so many neighbouring outputs have, then of
        those that all have, then that some have again; ``begin`` is where the first one's window
        does, known at run time."""
        reach = (outputs - 1) * self.stride
        some, before = (self._first_tap(builder, 0 - begin - far) for far in (reach, 0))
        after, end = (self._first_tap(builder, self.size - begin - far) for far in (reach, 0))
        middle, zero = builder.let(tirx.max(before, after)), tirx.const(0, "int32")
        early = builder.let(tirx.max(zero, tirx.min(before, end) - some))
        late = builder.let(tirx.max(zero, end - middle))
        return (some, early), (before, builder.let(middle - before)), (middle, late)

    def _first_tap(self, builder: PhaseBuilder, distance: Expr) -> Expr:
        """Number of the first tap so many columns after the first one, or of none."""
        after = tirx.max(tirx.const(0, "int32"), distance) + (self.dilation - 1)
        return builder.let(
            tirx.min(tirx.const(self.kernel, "int32"), tirx.truncdiv(after, self.dilation))
        )


@dataclass(frozen=True)
class ColumnTile:
    """``count`` neighbouring tiles of ``width`` outputs from ``first`` on, with equal taps.

    ``taps[t]`` are the outputs of a tile (0 .. width-1) that read inside the input at tap ``t``;
    ``inside`` says that all do. ``ends`` says that which read inside is known only at run time, and
    that the row may end before the last outputs.
    """

    first: int
    width: int
    count: int
    taps: tuple[range, ...]
    inside: bool
    ends: bool = False


def column_tiles(axis: Axis, widths: Sequence[int], *, alike: bool = False) -> list[ColumnTile]:
    """The axis cut into tiles of these ``widths``, which cover it; equal neighbours are one.

    So are all that are not inside, if they are ``alike`` to who asks; they have the first one's
    taps then.
    """
    tiles: list[ColumnTile] = []
    first, everywhere = 0, axis.everywhere
    for width in widths:
        inside = everywhere.start <= first and first + width <= everywhere.stop
        last = tiles[-1] if tiles else None
        same = last is not None and (last.width, last.inside) == (width, inside)
        if last and same and (inside or alike or last.taps == axis.taps(first, width)):
            tiles[-1] = replace(last, count=last.count + 1)
        else:
            tiles.append(ColumnTile(first, width, 1, axis.taps(first, width), inside))
        first += width
    return tiles


def full_widths(extent: int, width: int) -> list[int]:
    """Tiles of ``width``, the last one narrower where need be."""
    full, rest = divmod(extent, width)
    return [width] * full + [rest] * (rest > 0)


def even_widths(extent: int, widest: int) -> list[int]:
    """As few tiles up to ``widest`` as cover ``extent``, no two of which differ by more than 1."""
    count = ceildiv(extent, widest)
    least, more = divmod(extent, count)
    return [least + 1] * more + [least] * (count - more)


@dataclass(frozen=True)
class RowTiles:
    """The outputs of a row in nearly equal tiles up to ``widest``. Where it is known only at run
    time how many there are, all are that wide, and the last one may go beyond the row's end."""

    axis: Axis
    widest: int

    @property
    def widths(self) -> list[int]:
        """Of the tiles; of an open row, that of each."""
        return [self.widest] if self.axis.is_open else even_widths(self.axis.out, self.widest)

    @property
    def count(self) -> int:
        """Tiles of a row."""
        return ceildiv(self.axis.out, self.widest)

    def each(
        self,
        builder: PhaseBuilder,
        body: Callable[[Index, ColumnTile], None],
        among: tuple[Index, Index] | None = None,
        *,
        alike: bool = False,
    ) -> None:
        """As ``each_tile``; of an open row each tile has code for either place that it may have."""
        axis, width = self.axis, self.widest
        if not axis.is_open:
            each_tile(builder, axis, self.widths, body, among, alike=alike)
            return
        inside = ColumnTile(0, width, self.count, (range(width),) * axis.kernel, True)
        begin, count = _overlap(builder, 0, self.count, among)
        with builder.loop(count, "tile", begin) as i:
            first = builder.let(i * width)
            everywhere = builder.let(axis.reads_inside(first, width))
            with builder.when(everywhere):
                body(first, inside)
            with builder.when(tirx.Not(everywhere)):
                body(first, replace(inside, taps=(), inside=False, ends=True))


@dataclass(frozen=True)
class Blocks:
    """``tiles`` of a row in blocks of ``size``, each of which a chunk takes."""

    tiles: int
    size: int

    @property
    def count(self) -> int:
        """Blocks of a row."""
        return ceildiv(self.tiles, self.size)

    def of(self, builder: PhaseBuilder, chunk: Index) -> tuple[Index, tuple[Index, Index] | None]:
        """What the chunk's number says beside the block, and which tiles it takes (None: all)."""
        if self.count == 1:
            return chunk, None
        first = builder.let(modulo(chunk, self.count) * self.size)
        return builder.let(divide(chunk, self.count)), (first, first + self.size)


def each_tile(
    builder: PhaseBuilder,
    axis: Axis,
    widths: Sequence[int],
    body: Callable[[Index, ColumnTile], None],
    among: tuple[Index, Index] | None = None,
    *,
    alike: bool = False,
) -> None:
    """Emit ``body(first output, tile)`` for every tile; equal neighbours share a loop.

    ``among``: for those alone whose numbers are from the first on and below the second; ``alike``:
    see ``column_tiles``.
    """
    number = 0
    for tile in column_tiles(axis, widths, alike=alike):
        begin, count = _overlap(builder, number, tile.count, among)
        with builder.loop(count, "tile", begin) as i:
            body(builder.let(tile.first + i * tile.width), tile)
        number += tile.count


def _overlap(
    builder: PhaseBuilder, number: int, count: int, among: tuple[Index, Index] | None
) -> tuple[Index, Index]:
    """First and number of ``count`` tiles from ``number`` on that are among those."""
    if among is None:
        return 0, count
    begin = builder.let(tirx.max(0, among[0] - number))
    return begin, builder.let(tirx.max(0, tirx.min(count, among[1] - number) - begin))


def axes(node: Node, source: Tensor, kernel: tuple[int, int]) -> tuple[Axis, Axis]:
    """Vertical and horizontal axis of a window operator over a channels-last input."""
    top, left, _, _ = node.attr("pads")
    (sh, sw), (dh, dw) = node.attr("strides"), node.attr("dilations", (1, 1))
    _, height, width, _ = source.shape
    _, out_height, out_width, _ = node.out.shape
    return (
        Axis(height, out_height, kernel[0], sh, top, dh),
        Axis(width, out_width, kernel[1], sw, left, dw),
    )


def balanced_width(extent: int, widest: int) -> int:
    """The widest tile up to ``widest`` that wastes least of the last tile."""
    if extent <= widest:
        return extent
    return min(range(max(1, widest // 2), widest + 1), key=lambda w: (_cost(extent, w), -w))


def _cost(extent: int, width: int) -> float:
    """Register-tile passes, each with a fixed overhead of about half a column."""
    full, rest = divmod(extent, width)
    return full * (width + 0.5) + (rest + 2.5 if rest else 0)
