"""The loop nest of a direct convolution, shared by convolution and transposed convolution.

A *grid* is a regular part of the outputs whose windows slide over the input with equal strides: all
outputs of a convolution, or those of a transposed convolution with equal remainders of row and
column modulo the stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...emit.builder import PhaseBuilder, Slot
from ...emit.evaluator import Evaluator, Point
from ...emit.lanes import each_lane_sum
from ...emit.prefetch import ask_for
from ...emit.steps import each_step, written_out
from ...emit.tile import RegisterTile, column_parts, vector_index
from ...ir.kernel import Packing, Phase
from ...ir.size import Size
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo
from ..borders import border_slot, copy_seen
from ..fused import epilogue
from ..shares import by_rows, place
from ..slots import phase_builder
from ..taps import Vectors
from ..window import Axis, Blocks, ColumnTile, RowTiles
from .direct import Direct, Knobs

_MOST_WRITTEN = 16  # taps of a kernel's row with code of their own


@dataclass(frozen=True)
class Grid:
    """Windows along both axes; where their outputs lie; where their packed weights start."""

    rows: Axis
    columns: Axis
    first: tuple[int, int] = (0, 0)
    step: tuple[int, int] = (1, 1)
    weights: int = 0


def border(form: Direct, knobs: Knobs, grid: Grid) -> Slot | None:
    """Room for what a tile at a border sees of a row, where that is copied with its padding."""
    widths = RowTiles(grid.columns, knobs.tile_w).widths
    dtype = form.workload.tensor(form.node.args[0]).dtype
    return border_slot(grid.columns, widths, form.window[-1], dtype)


def scratch(form: Direct, knobs: Knobs, grids: Sequence[Grid]) -> int:
    """Bytes of it that the phases need."""
    slots = (border(form, knobs, grid) for grid in grids)
    return max((slot.tensor.nbytes for slot in slots if slot is not None), default=0)


def grid_phase(form: Direct, knobs: Knobs, packings: Mapping[int, Packing], grid: Grid) -> Phase:
    """Chunks are (image, group, block of panels, block of rows, block of columns)."""
    nest = _GridNest(form, knobs, grid)
    own = [] if nest.border is None else [nest.border]
    return nest.build(phase_builder(form, packings, own))


class _GridNest:
    def __init__(self, form: Direct, knobs: Knobs, grid: Grid) -> None:
        self.grid, self.knobs, self.workload = grid, knobs, form.workload
        self.target = form.target
        number, self.weight = form.node.args
        self.source, source = f"in{number}", self.workload.tensor(number)
        self.batch, self.height, self.width, self.channels = source.shape
        _, self.out_h, self.out_w, self.out_c = form.node.out.shape
        self.rows, self.columns = grid.rows, grid.columns
        self.groups, self.in_c, self.per_group = form.groups, form.window[2], form.per_group
        self.lanes, self.micro = form.lanes, form.micro
        self.dots, self.along = form.dots, form.along
        self.panel = self.knobs.vectors * self.lanes  # elements of weights in a step
        self.panel_channels = self.knobs.vectors * form.unit
        self.panels = ceildiv(self.per_group, self.panel_channels)
        self.streams = form.streams(knobs)
        self.tiles = RowTiles(self.columns, knobs.tile_w)
        self.border = border(form, knobs, grid)
        self.parts = self._parts(form)

    def build(self, builder: PhaseBuilder) -> Phase:
        """The phase."""
        self.builder = builder
        self.evaluator = Evaluator(epilogue(self.workload), builder, anchor=0)
        row_block, panel_block = self.knobs.rows, self.knobs.panels
        row_blocks = ceildiv(self.rows.out, row_block)
        panel_blocks = ceildiv(self.panels, panel_block)
        tiles = Blocks(self.tiles.count, max(1, self.knobs.columns // self.knobs.tile_w))
        with builder.chunk_loop() as chunk:
            rest, self.among = tiles.of(builder, chunk)
            row, rest = place(builder, rest, row_blocks, panel_blocks * self.groups, self.parts)
            row0 = builder.let(row * row_block)
            panel0 = builder.let(modulo(rest, panel_blocks) * panel_block)
            rest = divide(rest, panel_blocks)
            group, image = modulo(rest, self.groups), divide(rest, self.groups)
            rows = builder.loop(extent(row0, row_block, self.rows.out), "row", row0)
            panels = builder.loop(extent(panel0, panel_block, self.panels), "panel", panel0)
            if self.knobs.order == "rows":
                with rows as row, panels as panel:
                    self._row(image, group, panel, row)
            else:
                with panels as panel, rows as row:
                    self._row(image, group, panel, row)
        units = self.batch * self.groups * panel_blocks
        return builder.finish(units * row_blocks * tiles.count)

    def _parts(self, form: Direct) -> int:
        """Of the rows, as ``place`` has them. Groups read parts of the same lines: all of them are
        computed before the next rows."""
        source = form.workload.tensor(form.node.args[0])
        if self.batch != 1 or any(isinstance(extent, Size) for extent in source.shape):
            return 1
        if self.groups > 1:
            return ceildiv(self.rows.out, self.knobs.rows)
        weights = form.workload.tensor(self.weight).nbytes
        return form.target.threads if by_rows(source.nbytes, weights, form.target) else 1

    def _row(self, image: Index, group: Index, panel: Index, row: Index) -> None:
        """One output row of one panel; the last panel of a group may have fewer channels."""
        for _, channels in self.builder.block(panel, self.panel_channels, self.per_group):
            tile = partial(self._tile, (image, group, panel, row), channels)
            alike = self.border is not None
            self.tiles.each(self.builder, tile, self.among, alike=alike)

    def _tile(self, at: tuple[Index, ...], channels: int, column: Index, tile: ColumnTile) -> None:
        image, group, panel, row = at
        builder, vectors = self.builder, channels if self.dots else ceildiv(channels, self.lanes)
        parts = column_parts(vectors * self.lanes, self.lanes)
        left = self.columns.out - column if tile.ends else None
        register = RegisterTile(builder, tile.width, parts, self.micro, left)
        low, taps = self.rows.limits(builder, row)
        tap_steps = self.in_c // self.along
        steps = self.columns.kernel * tap_steps
        first = self.grid.weights // self.panel
        weights = builder.let(first + (group * self.panels + panel) * (self.rows.kernel * steps))
        with builder.loop(taps, "kh", low) as kh:
            ih = row * self.rows.stride - self.rows.pad + kh * self.rows.dilation
            iw = column * self.columns.stride - self.columns.pad
            line, channel = (image * self.height + ih) * self.width, group * self.in_c
            if self.border is None or tile.inside:
                pixel = builder.let((line + iw) * self.channels + channel)
                self._reduce_row(register, tile, pixel, builder.let(weights + kh * steps))
            else:
                start = builder.let(line * self.channels + channel)
                step0 = builder.let(weights + kh * steps)
                self._reduce_border(register, tile.width, builder.let(iw), start, step0)
        self._store(register, (*at, column), channels)

    def _reduce_row(
        self, register: RegisterTile, tile: ColumnTile, pixel: Index, step0: Index
    ) -> None:
        """All taps of one kernel row."""
        columns, stride = self.columns, self.columns.stride * self.channels
        dense, steps = columns.dilation == 1 and self.groups == 1, self.in_c // self.along
        if tile.inside and (dense or columns.kernel == 1 or columns.kernel > _MOST_WRITTEN):
            self._reduce_shared(register, pixel, step0, 0, columns.kernel)
            return
        for kw, outputs in enumerate(tile.taps):
            if outputs:
                first = pixel + kw * columns.dilation * self.channels
                step = step0 + kw * steps
                self._reduce(register, self.source, first, step, stride, steps, outputs)

    def _reduce_border(
        self, register: RegisterTile, outputs: int, begin: Index, start: Index, step0: Index
    ) -> None:
        """The same where the first window begins at column ``begin`` of a row, which begins at
        ``start``: each output may miss other taps."""
        builder, columns, steps = self.builder, self.columns, self.in_c // self.along
        row = Vectors(builder[self.source], start, self.channels)
        before, shared, after = columns.seen_taps(builder, begin, outputs)

        def some(first: Index, count: Index) -> None:
            copy_seen(builder, columns, outputs, begin, (first, count), row, self.in_c, self.lanes)
            apart = columns.kernel * self.in_c
            self._reduce(register, "border", 0, step0 + first * steps, apart, count * steps)

        some(*before)
        self._reduce_shared(register, start + begin * self.channels, step0, *shared)
        some(*after)

    def _reduce_shared(
        self, register: RegisterTile, pixel: Index, step0: Index, tap: Index, count: Index
    ) -> None:
        """Neighbouring taps that all outputs have."""
        columns, steps = self.columns, self.in_c // self.along
        between, stride = columns.dilation * self.channels, columns.stride * self.channels
        if between == self.in_c:  # they follow one another
            pixel, step0 = pixel + tap * between, step0 + tap * steps
            self._reduce(register, self.source, pixel, step0, stride, count * steps)
            return
        with self.builder.loop(count, "kw", tap) as kw:
            first, step = pixel + kw * between, step0 + kw * steps
            self._reduce(register, self.source, first, step, stride, steps)

    def _reduce(
        self,
        register: RegisterTile,
        source: str,
        pixel: Index,
        step0: Index,
        stride: int,
        steps: Index,
        outputs: Sequence[int] | None = None,
    ) -> None:
        """``steps`` elements from ``pixel`` on for the first output, ``stride`` later for each."""
        builder, values = self.builder, self.builder[source]
        weights, sums = builder[f"in{self.weight}"], register.rows * len(register.parts)
        times = written_out(sums, self.in_c // self.along, self.target)
        for first, written in each_step(builder, steps, times):
            if self.streams:
                ask_for(builder, weights, (step0 + first) * self.panel, self.panel * times)
            for k in written:
                register.step(
                    partial(self._value, values, pixel, stride, k),
                    partial(self._weights, weights, step0 + k),
                    outputs,
                    by_lane=self.dots,
                )

    def _value(self, values: Any, pixel: Index, stride: int, k: Index, row: int) -> Expr:
        index = pixel + row * stride + k * self.along
        return self.builder.load(values, vector_index(index, self.along))

    def _weights(self, weights: Any, step: Index, column: int, lanes: int) -> Expr:
        return self.builder.load(weights, vector_index(step * self.panel + column, lanes))

    def _store(self, register: RegisterTile, at: tuple[Index, ...], channels: int) -> None:
        image, group, panel, row, column = at
        shape, grid = self.workload.output.shape, self.grid
        channel0 = group * self.per_group + panel * self.panel_channels
        oh = row * grid.step[0] + grid.first[0]
        ow = column * grid.step[1] + grid.first[1]
        pixel = self.builder.let((image * self.out_h + oh) * self.out_w + ow)

        def store(output: int, offset: Index, value: object) -> None:
            channel, across = channel0 + offset, output * grid.step[1]
            flat = (pixel + across) * self.out_c + channel
            self.evaluator.store(Point(shape, (image, oh, ow + across, channel), flat), value)

        if not self.dots:
            register.finish(channels, store)
            return
        sums = each_lane_sum(self.builder, register.vectors(), self.lanes)
        for output in register.each_row():
            for offset in range(channels):
                i = output * channels + offset
                store(output, offset, self.builder.load(sums, i))
