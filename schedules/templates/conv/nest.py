"""The loop nest of a direct convolution, shared by convolution and transposed convolution.

A *grid* is a regular part of the outputs whose windows slide over the input with equal strides: all
outputs of a convolution, or those of a transposed convolution with equal remainders of row and
column modulo the stride.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...emit.builder import PhaseBuilder
from ...emit.evaluator import Evaluator, Point
from ...emit.tile import RegisterTile, column_parts, vector_index
from ...ir.dtype import FLOAT32
from ...ir.kernel import Packing, Phase
from ...ir.space import Schedule
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import Index, ceildiv, divide, modulo
from ...tvm_late import tirx
from ..template import epilogue, input_slots, loads, output_slot, store_element
from ..window import Axis, ColumnTile, each_tile


@dataclass(frozen=True)
class Grid:
    """Windows along both axes; where their outputs lie; where their packed weights start."""

    rows: Axis
    columns: Axis
    first: tuple[int, int] = (0, 0)
    step: tuple[int, int] = (1, 1)
    weights: int = 0


@dataclass(frozen=True)
class ConvNest:
    """``in_c`` and ``per_group`` are input and output channels of a group."""

    workload: Workload
    schedule: Schedule
    target: Target
    packing: Packing
    groups: int
    in_c: int
    per_group: int

    @property
    def packings(self) -> tuple[Packing | None, ...]:
        """Of every input: only the weights are packed."""
        weight = self.workload.nodes[0].args[1]
        count = len(self.workload.inputs)
        return tuple(self.packing if i == weight else None for i in range(count))

    def phase(self, grid: Grid) -> Phase:
        """Chunks are (image, group, block of panels, block of rows)."""
        return _GridNest(self, grid).build()


class _GridNest:
    def __init__(self, nest: ConvNest, grid: Grid) -> None:
        workload, schedule = nest.workload, nest.schedule
        node = workload.nodes[0]
        self.nest, self.grid, self.workload, self.schedule = nest, grid, workload, schedule
        self.source, self.weight = node.args[0], node.args[1]
        self.batch, self.height, self.width, self.channels = workload.tensor(self.source).shape
        _, self.out_h, self.out_w, self.out_c = node.out.shape
        self.rows, self.columns = grid.rows, grid.columns
        self.groups, self.in_c, self.per_group = nest.groups, nest.in_c, nest.per_group
        self.lanes = nest.target.lanes(FLOAT32)
        self.panel = int(schedule["vectors"]) * self.lanes
        self.panels = ceildiv(self.per_group, self.panel)

    def build(self) -> Phase:
        """The phase."""
        slots = [*input_slots(self.workload, self.nest.packings), output_slot(self.workload)]
        self.builder = builder = PhaseBuilder(slots)
        after = epilogue(self.workload)
        self.evaluator = Evaluator(after, builder, loads(builder, after, shift=1))
        row_block, panel_block = int(self.schedule["rows"]), int(self.schedule["panels"])
        row_blocks = ceildiv(self.rows.out, row_block)
        panel_blocks = ceildiv(self.panels, panel_block)
        with builder.chunk_loop() as chunk:
            row0 = builder.bind(modulo(chunk, row_blocks) * row_block)
            rest = divide(chunk, row_blocks)
            panel0 = builder.bind(modulo(rest, panel_blocks) * panel_block)
            rest = divide(rest, panel_blocks)
            group, image = modulo(rest, self.groups), divide(rest, self.groups)
            rows = builder.loop(_extent(row0, row_block, self.rows.out), "row", row0)
            panels = builder.loop(_extent(panel0, panel_block, self.panels), "panel", panel0)
            if self.schedule["order"] == "rows":
                with rows as row, panels as panel:
                    self._row(image, group, panel, row)
            else:
                with panels as panel, rows as row:
                    self._row(image, group, panel, row)
        return builder.finish(self.batch * self.groups * panel_blocks * row_blocks)

    def _row(self, image: Index, group: Index, panel: Index, row: Index) -> None:
        """One output row of one panel; the last panel of a group may have fewer channels."""
        last = self.per_group - (self.panels - 1) * self.panel
        tile_w = int(self.schedule["tile_w"])

        def tiles(channels: int) -> None:
            each_tile(
                self.builder,
                self.columns,
                tile_w,
                lambda column, tile: self._tile((image, group, panel, row, column), tile, channels),
            )

        if last == self.panel:
            tiles(self.panel)
        elif self.panels == 1:
            tiles(last)
        else:
            with self.builder.when(panel < self.panels - 1):
                tiles(self.panel)
            with self.builder.when(panel == self.panels - 1):
                tiles(last)

    def _tile(self, at: tuple[Index, ...], tile: ColumnTile, channels: int) -> None:
        image, group, panel, row, column = at
        builder = self.builder
        register = RegisterTile(builder, tile.width, column_parts(channels, self.lanes))
        low, taps = self.rows.limits(builder, row)
        steps = self.columns.kernel * self.in_c
        first = self.grid.weights // self.panel
        weights = builder.bind(first + (group * self.panels + panel) * (self.rows.kernel * steps))
        with builder.loop(taps, "kh", low) as kh:
            ih = row * self.rows.stride - self.rows.pad + kh * self.rows.dilation
            iw = column * self.columns.stride - self.columns.pad
            pixel = builder.bind(
                ((image * self.height + ih) * self.width + iw) * self.channels + group * self.in_c
            )
            step0 = builder.bind(weights + kh * steps)
            self._reduce_row(register, tile, pixel, step0)
        self._store(register, at, channels)

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
        builder, source, weight = self.builder, self.builder[f"in{self.source}"], self.weight
        with builder.loop(steps, "k") as k:
            register.step(
                lambda row: builder.load(source, pixel + row * stride + k),
                lambda column, lanes: builder.load(
                    builder[f"in{weight}"],
                    vector_index((step0 + k) * self.panel + column, lanes),
                ),
                outputs,
            )

    def _store(self, register: RegisterTile, at: tuple[Index, ...], channels: int) -> None:
        image, group, panel, row, column = at
        shape, grid = self.workload.output.shape, self.grid
        channel0 = group * self.per_group + panel * self.panel
        oh = row * grid.step[0] + grid.first[0]
        ow = column * grid.step[1] + grid.first[1]
        pixel = self.builder.bind((image * self.out_h + oh) * self.out_w + ow)

        def store(output: int, offset: Index, value: object) -> None:
            channel, across = channel0 + offset, output * grid.step[1]
            flat = (pixel + across) * self.out_c + channel
            self.evaluator.forget()
            self.evaluator.sources[0] = lambda point: value
            point = Point(shape, (image, oh, ow + across, channel), flat)
            store_element(self.evaluator, point)

        register.finish(channels, store)


def _extent(first: Index, block: int, total: int) -> Index:
    return block if total % block == 0 else tirx.min(block, total - first)
