"""The loop nest of a direct convolution, shared by convolution and transposed convolution.

A *grid* is a regular part of the outputs whose windows slide over the input with equal strides: all
outputs of a convolution, or those of a transposed convolution with equal remainders of row and
column modulo the stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...emit.prefetch import ask_for
from ...emit.tile import RegisterTile, column_parts, vector_index
from ...ir.kernel import Packing, Phase
from ...tir.indices import Index, ceildiv, divide, extent, modulo
from ..fused import epilogue
from ..slots import phase_builder
from ..window import Axis, ColumnTile, each_tile
from .direct import Direct, Knobs


@dataclass(frozen=True)
class Grid:
    """Windows along both axes; where their outputs lie; where their packed weights start."""

    rows: Axis
    columns: Axis
    first: tuple[int, int] = (0, 0)
    step: tuple[int, int] = (1, 1)
    weights: int = 0


def grid_phase(form: Direct, knobs: Knobs, packings: Mapping[int, Packing], grid: Grid) -> Phase:
    """Chunks are (image, group, block of panels, block of rows)."""
    return _GridNest(form, knobs, grid).build(phase_builder(form, packings))


class _GridNest:
    def __init__(self, form: Direct, knobs: Knobs, grid: Grid) -> None:
        self.grid, self.knobs, self.workload = grid, knobs, form.workload
        self.source, self.weight = form.node.args
        source = self.workload.tensor(self.source)
        self.batch, self.height, self.width, self.channels = source.shape
        _, self.out_h, self.out_w, self.out_c = form.node.out.shape
        self.rows, self.columns = grid.rows, grid.columns
        self.groups, self.in_c, self.per_group = form.groups, form.window[2], form.per_group
        self.lanes, self.micro = form.lanes, form.micro
        self.panel = self.knobs.vectors * self.lanes
        self.panels = ceildiv(self.per_group, self.panel)
        self.streams = form.streams(knobs)

    def build(self, builder: PhaseBuilder) -> Phase:
        """The phase."""
        self.builder = builder
        self.evaluator = Evaluator(epilogue(self.workload), builder, anchor=0)
        row_block, panel_block = self.knobs.rows, self.knobs.panels
        row_blocks = ceildiv(self.rows.out, row_block)
        panel_blocks = ceildiv(self.panels, panel_block)
        with builder.chunk_loop() as chunk:
            row0 = builder.let(modulo(chunk, row_blocks) * row_block)
            rest = divide(chunk, row_blocks)
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
        return builder.finish(self.batch * self.groups * panel_blocks * row_blocks)

    def _row(self, image: Index, group: Index, panel: Index, row: Index) -> None:
        """One output row of one panel; the last panel of a group may have fewer channels."""
        for _, channels in self.builder.block(panel, self.panel, self.per_group):
            tile = partial(self._tile, (image, group, panel, row), channels)
            each_tile(self.builder, self.columns, self.knobs.tile_w, tile)

    def _tile(self, at: tuple[Index, ...], channels: int, column: Index, tile: ColumnTile) -> None:
        image, group, panel, row = at
        builder, parts = self.builder, column_parts(channels, self.lanes)
        register = RegisterTile(builder, tile.width, parts, self.micro)
        low, taps = self.rows.limits(builder, row)
        steps = self.columns.kernel * self.in_c
        first = self.grid.weights // self.panel
        weights = builder.let(first + (group * self.panels + panel) * (self.rows.kernel * steps))
        with builder.loop(taps, "kh", low) as kh:
            ih = row * self.rows.stride - self.rows.pad + kh * self.rows.dilation
            iw = column * self.columns.stride - self.columns.pad
            pixel = builder.let(
                ((image * self.height + ih) * self.width + iw) * self.channels + group * self.in_c
            )
            step0 = builder.let(weights + kh * steps)
            self._reduce_row(register, tile, pixel, step0)
        self._store(register, (*at, column), channels)

    def _reduce_row(
        self, register: RegisterTile, tile: ColumnTile, pixel: Index, step0: Index
    ) -> None:
        """All taps of one kernel row."""
        stride = self.columns.stride * self.channels
        dense = self.columns.dilation == 1 and self.groups == 1
        if tile.inside and (dense or self.columns.kernel == 1):
            self._reduce(register, pixel, step0, stride, self.columns.kernel * self.in_c, None)
            return
        for kw, outputs in enumerate(tile.taps):
            if outputs:
                first = pixel + kw * self.columns.dilation * self.channels
                self._reduce(register, first, step0 + kw * self.in_c, stride, self.in_c, outputs)

    def _reduce(
        self,
        register: RegisterTile,
        pixel: Index,
        step0: Index,
        stride: int,
        steps: int,
        outputs: tuple[int, ...] | None,
    ) -> None:
        builder, source = self.builder, self.builder[f"in{self.source}"]
        weights = builder[f"in{self.weight}"]
        with builder.loop(steps, "k") as k:
            if self.streams:
                ask_for(builder, weights, (step0 + k) * self.panel, self.panel)
            register.step(
                lambda row: builder.load(source, pixel + row * stride + k),
                lambda column, lanes: builder.load(
                    weights, vector_index((step0 + k) * self.panel + column, lanes)
                ),
                outputs,
            )

    def _store(self, register: RegisterTile, at: tuple[Index, ...], channels: int) -> None:
        image, group, panel, row, column = at
        shape, grid = self.workload.output.shape, self.grid
        channel0 = group * self.per_group + panel * self.panel
        oh = row * grid.step[0] + grid.first[0]
        ow = column * grid.step[1] + grid.first[1]
        pixel = self.builder.let((image * self.out_h + oh) * self.out_w + ow)

        def store(output: int, offset: Index, value: object) -> None:
            channel, across = channel0 + offset, output * grid.step[1]
            flat = (pixel + across) * self.out_c + channel
            self.evaluator.store(Point(shape, (image, oh, ow + across, channel), flat), value)

        register.finish(channels, store, self.evaluator.is_serial())
