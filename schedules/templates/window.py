"""Sliding windows: which taps of a kernel fall inside the input, for rows and for tiles of columns.

Vertical limits are computed when the kernel runs, once for each output row. Horizontal ones are
settled when it is built: the tiles at the borders get code of their own, so that the tiles in
between, which are nearly all, have no conditions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..emit.builder import PhaseBuilder
from ..ir.workload import Node, Tensor
from ..tir.indices import Expr, Index
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
    def stays_inside(self) -> bool:
        """Whether no output reads outside the input."""
        last = (self.out - 1) * self.stride - self.pad + (self.kernel - 1) * self.dilation
        return self.pad <= 0 and last < self.size

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


@dataclass(frozen=True)
class ColumnTile:
    """``count`` neighbouring tiles of ``width`` outputs from ``first`` on, with equal taps.

    ``taps[t]`` lists the outputs of a tile (0 .. width-1) that read inside the input at tap ``t``;
    ``inside`` says that all do.
    """

    first: int
    width: int
    count: int
    taps: tuple[tuple[int, ...], ...]

    @property
    def inside(self) -> bool:
        """Whether no output of the tile reads outside the input."""
        return all(len(t) == self.width for t in self.taps)


def column_tiles(axis: Axis, width: int) -> list[ColumnTile]:
    """The axis cut into tiles of ``width`` outputs, the last one narrower where need be."""
    tiles: list[ColumnTile] = []
    for first in range(0, axis.out, width):
        actual = min(width, axis.out - first)
        taps = tuple(
            tuple(p for p in range(actual) if axis.valid(first + p, t)) for t in range(axis.kernel)
        )
        last = tiles[-1] if tiles else None
        if last and last.width == actual and last.taps == taps and last.inside:
            tiles[-1] = ColumnTile(last.first, actual, last.count + 1, taps)
        else:
            tiles.append(ColumnTile(first, actual, 1, taps))
    return tiles


def each_tile(
    builder: PhaseBuilder, axis: Axis, width: int, body: Callable[[Index, ColumnTile], None]
) -> None:
    """Emit ``body(first output, tile)`` for every tile; equal neighbours share a loop."""
    for tile in column_tiles(axis, width):
        with builder.loop(tile.count, "tile") as i:
            body(builder.let(tile.first + i * tile.width), tile)


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
