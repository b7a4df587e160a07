"""Rows of an image in scratch, with what lies outside of the image around them.

Windows then slide over memory that is all there: none has a border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..emit.builder import PhaseBuilder
from ..emit.dot_product import DotProduct
from ..emit.staging import Place, copy_run, fill_run, row_pitch
from ..ir.workload import Tensor
from ..tir.indices import Index
from ..tvm_late import tirx
from .window import Axis


@dataclass(frozen=True)
class WindowRows:
    """What the windows of neighbouring rows of outputs read of ``source``, [N, H, W, C].

    Of a window of one row or column only what outputs read is there, whatever the stride.
    ``outside`` is the number that windows see outside of the image. ``beyond`` are elements that
    are read after a run of a window, and count for nothing. Rows that are ``dense`` lie one right
    after the other.
    """

    down: Axis
    across: Axis
    source: Tensor
    micro: DotProduct
    outside: int
    beyond: int = 0
    dense: bool = False

    @property
    def channels(self) -> int:
        """Of a pixel."""
        return self.source.shape[3]

    @property
    def wide(self) -> int:
        """Pixels of a row."""
        across = self.across
        if across.picks:  # columns between those are left out
            return across.out
        return (across.out - 1) * across.stride + (across.kernel - 1) * across.dilation + 1

    @property
    def pitch(self) -> int:
        """Elements from one row to the next."""
        count = self.wide * self.channels
        return count if self.dense else row_pitch(count, self.micro.a)

    @property
    def apart(self) -> int:
        """Elements from one output's window to the next one's."""
        return self.channels * (1 if self.across.picks else self.across.stride)

    def _high(self, rows: Index) -> Index:
        """Rows of the image that so many rows of outputs read."""
        if self.down.kernel == 1:
            return rows
        return (rows - 1) * self.down.stride + (self.down.kernel - 1) * self.down.dilation + 1

    def size(self, rows: int) -> int:
        """Elements for so many rows of outputs, and for groups that reach beyond the last one."""
        high: int = self._high(rows)
        return high * self.pitch + max(self.micro.steps, self.beyond)

    def place(self, row: Index, column: Index) -> Index:
        """Where the window of an output begins, whose row counts from the first."""
        stride = 1 if self.down.kernel == 1 else self.down.stride
        return row * (stride * self.pitch) + column * self.apart

    def tap(self, row: Index, column: Index) -> Index:
        """From there to a tap."""
        across = self.across.dilation * self.channels
        return row * (self.down.dilation * self.pitch) + column * across

    def bring(
        self,
        builder: PhaseBuilder,
        source: Any,
        target: Any,
        at: tuple[Index, Index, Index],
        lanes: int,
    ) -> None:
        """Rows for outputs ``at`` (image, first row, number of rows) into scratch."""
        image, row0, rows = at
        _, height, width, _ = self.source.shape
        down, step = self.down, self.down.stride if self.down.kernel == 1 else 1
        top = builder.let(row0 * down.stride - down.pad)
        with builder.loop(self._high(rows), "line") as line:
            begin = builder.let(line * self.pitch)
            row = builder.let(tirx.const(0, "int32") + (top + line * step))
            pixel = (image * height + row) * width
            if down.stays_inside:
                self._line(builder, source, target, pixel, begin, lanes)
            else:
                with builder.when(tirx.all(row >= 0, row < height)):
                    self._line(builder, source, target, pixel, begin, lanes)
                with builder.when(tirx.any(row < 0, row >= height)):
                    self._fill(builder, target, begin, self.wide, lanes)

    def _line(
        self,
        builder: PhaseBuilder,
        source: Any,
        target: Any,
        pixel: Index,
        begin: Index,
        lanes: int,
    ) -> None:
        """A row of the image, between what is left and right of it."""
        channels, across = self.channels, self.across
        if across.picks:
            with builder.loop(self.wide, "pixel") as x:
                old = builder.let((pixel + x * across.stride) * channels)
                new = builder.let(begin + x * channels)
                self._copy(builder, (source, old), (target, new), channels, lanes)
            return
        left = min(across.pad, self.wide)
        there = min(across.size, self.wide - left)
        right = self.wide - left - there
        self._fill(builder, target, begin, left, lanes)
        old, new = builder.let(pixel * channels), builder.let(begin + left * channels)
        self._copy(builder, (source, old), (target, new), there * channels, lanes)
        self._fill(builder, target, begin + (left + there) * channels, right, lanes)

    def _copy(
        self, builder: PhaseBuilder, source: Place, target: Place, count: int, lanes: int
    ) -> None:
        copy_run(builder, source, target, count, self.micro, lanes)

    def _fill(
        self, builder: PhaseBuilder, target: Any, begin: Index, pixels: int, lanes: int
    ) -> None:
        first = builder.let(begin)
        fill_run(builder, (target, first), pixels * self.channels, self.outside, self.micro, lanes)
