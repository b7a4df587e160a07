"""Direct convolution in channels-last layout, any kernel, stride, dilation and groups.

The register tile is ``tile_w`` neighbouring outputs of a row by ``vectors`` vectors of output
channels. Weights are packed as [group][panel][KH][KW][C/groups][panel width], so that the reduction
over (kh, kw, channel) reads them in order.

Knobs: ``tile_w`` and ``vectors`` (the register tile), ``rows`` (output rows in a chunk), ``panels``
(weight panels in a chunk), ``order`` (which of the two is the outer loop inside a chunk).
"""

from __future__ import annotations

import numpy as np
from tvm import tirx

from .emit import Index, PhaseBuilder, ceildiv, divide, modulo
from .expr import Evaluator, Point
from .kernel import Array, Kernel, Packing
from .space import Config, Knob, Schedule, Space
from .target import Target
from .template import (
    Template,
    anchor_is_first,
    epilogue,
    finish_element,
    input_slots,
    loads,
    output_slot,
)
from .tile import RegisterTile, column_parts, fits_registers, vector_index
from .window import Axis, ColumnTile, axes, balanced_width, each_tile
from .workload import Workload

NAME = "conv_direct"
VERSION = 1


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 convolutions with constant weights and elementwise epilogues."""
    if not _fits(workload):
        return None
    node = workload.nodes[0]
    groups = node.attr("groups")
    _, out_h, out_w, out_c = node.out.shape
    group_vectors = ceildiv(out_c // groups, target.lanes)
    widths = tuple(w for w in range(1, min(out_w, target.vector_registers - 2) + 1))
    vectors = tuple(v for v in (1, 2, 3, 4, 6) if v <= group_vectors)
    knobs = (
        Knob("tile_w", widths, "neighbouring outputs in the register tile"),
        Knob("vectors", vectors, "vectors of output channels in the register tile"),
        Knob("rows", _powers(out_h), "output rows in a chunk"),
        Knob("panels", _powers(group_vectors), "weight panels in a chunk"),
        Knob("order", ("rows", "panels"), "the outer loop inside a chunk"),
    )

    def valid(config: Config) -> bool:
        tile_w, count = int(config["tile_w"]), int(config["vectors"])
        panels = ceildiv(group_vectors, count)
        return fits_registers(tile_w, count, target) and int(config["panels"]) < 2 * panels

    return Space(NAME, VERSION, knobs, _default(workload, target, vectors), valid)


def _fits(workload: Workload) -> bool:
    return (
        anchor_is_first(workload, "conv2d")
        and workload.nodes[0].out.dtype == "float32"
        and workload.constants[workload.nodes[0].args[1]]
        and workload.output.dtype == "float32"
    )


def _powers(limit: int) -> tuple[int, ...]:
    return tuple(2**i for i in range(12) if 2**i < 2 * limit)


def _default(workload: Workload, target: Target, vectors: tuple[int, ...]) -> dict[str, int | str]:
    """Fill the registers; keep a chunk's weights in half of L2; six chunks a thread if possible."""
    node = workload.nodes[0]
    groups = node.attr("groups")
    batch, out_h, out_w, out_c = node.out.shape
    _, kh, kw, in_c = workload.tensor(node.args[1]).shape
    group_vectors = ceildiv(out_c // groups, target.lanes)

    def waste(count: int) -> tuple[float, float]:
        widest = min(out_w, (target.vector_registers - 1 - count) // count)
        width = balanced_width(out_w, widest)
        computed = ceildiv(group_vectors, count) * count / group_vectors
        # Loads per multiply-add: one vector a part, one broadcast a row.
        loads = (count + width) / (count * width)
        return computed * (1 + loads), -count

    count = min((v for v in vectors if v <= 4), key=waste)
    tile_w = balanced_width(out_w, min(out_w, (target.vector_registers - 1 - count) // count))
    panel_bytes = kh * kw * in_c * count * target.vector_bytes
    panels = ceildiv(group_vectors, count)
    weights_fit = panel_bytes * panels <= target.l2 // 2
    chunk_panels = panels if weights_fit else max(1, (target.l2 // 2) // panel_bytes)
    chunk_panels = min(2 ** (chunk_panels.bit_length() - 1), panels)
    units = batch * groups * ceildiv(panels, chunk_panels)
    rows = max(1, out_h * units // (6 * target.threads))
    rows = min(2 ** (rows.bit_length() - 1), _powers(out_h)[-1])
    if weights_fit:
        chunk_panels = 2 ** max(0, (panels - 1).bit_length())
    return {
        "tile_w": tile_w,
        "vectors": count,
        "rows": rows,
        "panels": chunk_panels,
        "order": "rows" if weights_fit else "panels",
    }


def pack_weights(array: Array, groups: int, width: int) -> Array:
    """[O,KH,KW,C] to [group][panel][KH][KW][C][width], zeros behind the last channel."""
    out_c, kh, kw, in_c = array.shape
    per = out_c // groups
    panels = ceildiv(per, width)
    padded = np.zeros((groups, panels * width, kh, kw, in_c), array.dtype)
    padded[:, :per] = array.reshape(groups, per, kh, kw, in_c)
    split = padded.reshape(groups, panels, width, kh, kw, in_c)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 4, 5, 2))


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase; chunks are (image, group, block of panels, block of rows)."""
    return _Conv(workload, target, schedule).build()


class _Conv:
    """The numbers of one convolution, and the loop nest over them."""

    def __init__(self, workload: Workload, target: Target, schedule: Schedule) -> None:
        node = workload.nodes[0]
        self.workload, self.schedule = workload, schedule
        self.source, self.weight = node.args[0], node.args[1]
        self.groups: int = node.attr("groups")
        self.batch, self.height, self.width, self.channels = workload.tensor(self.source).shape
        _, self.out_h, self.out_w, self.out_c = node.out.shape
        _, self.kh, self.kw, self.in_c = workload.tensor(self.weight).shape
        self.rows, self.columns = axes(node, workload.tensor(self.source), (self.kh, self.kw))
        self.lanes = target.lanes
        self.panel = int(schedule["vectors"]) * target.lanes
        self.per_group = self.out_c // self.groups
        self.panels = ceildiv(self.per_group, self.panel)
        self.packing = Packing(
            (self.groups, self.panels, self.kh, self.kw, self.in_c, self.panel),
            lambda w: pack_weights(w, self.groups, self.panel),
        )

    def build(self) -> Kernel:
        """The kernel."""
        packings = tuple(
            self.packing if i == self.weight else None for i in range(len(self.workload.inputs))
        )
        slots = [*input_slots(self.workload, packings), output_slot(self.workload)]
        self.builder = builder = PhaseBuilder(slots)
        after = epilogue(self.workload)
        self.evaluator = Evaluator(after, builder, loads(builder, after, shift=1))
        row_block, panel_block = int(self.schedule["rows"]), int(self.schedule["panels"])
        row_blocks = ceildiv(self.out_h, row_block)
        panel_blocks = ceildiv(self.panels, panel_block)
        with builder.chunk_loop() as chunk:
            row0 = builder.bind(modulo(chunk, row_blocks) * row_block)
            rest = divide(chunk, row_blocks)
            panel0 = builder.bind(modulo(rest, panel_blocks) * panel_block)
            rest = divide(rest, panel_blocks)
            group, image = modulo(rest, self.groups), divide(rest, self.groups)
            rows = _extent(row0, row_block, self.out_h)
            panels = _extent(panel0, panel_block, self.panels)
            if self.schedule["order"] == "rows":
                with builder.loop(rows, "oh", row0) as oh, builder.loop(panels, "panel", panel0) as p:
                    self._row(image, group, p, oh)
            else:
                with builder.loop(panels, "panel", panel0) as p, builder.loop(rows, "oh", row0) as oh:
                    self._row(image, group, p, oh)
        phase = builder.finish(self.batch * self.groups * panel_blocks * row_blocks)
        return Kernel(self.workload, self.schedule, (phase,), packings)

    def _row(self, image: Index, group: Index, panel: Index, oh: Index) -> None:
        """One output row of one panel; the last panel of a group may have fewer channels."""
        last = self.per_group - (self.panels - 1) * self.panel
        tile_w = int(self.schedule["tile_w"])

        def tiles(channels: int) -> None:
            each_tile(
                self.builder,
                self.columns,
                tile_w,
                lambda ow, tile: self._tile((image, group, panel, oh, ow), tile, channels),
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
        image, group, panel, oh, ow = at
        builder = self.builder
        register = RegisterTile(builder, tile.width, column_parts(channels, self.lanes))
        low, taps = self.rows.limits(builder, oh)
        weights = builder.bind((group * self.panels + panel) * (self.kh * self.kw * self.in_c))
        with builder.loop(taps, "kh", low) as kh:
            ih = oh * self.rows.stride - self.rows.pad + kh * self.rows.dilation
            iw = ow * self.columns.stride - self.columns.pad
            pixel = builder.bind(
                ((image * self.height + ih) * self.width + iw) * self.channels + group * self.in_c
            )
            step0 = builder.bind(weights + kh * (self.kw * self.in_c))
            self._reduce_row(register, tile, pixel, step0)
        self._store(register, at, channels)

    def _reduce_row(
        self, register: RegisterTile, tile: ColumnTile, pixel: Index, step0: Index
    ) -> None:
        """All taps of one kernel row."""
        stride = self.columns.stride * self.channels
        dense = self.columns.dilation == 1 and self.groups == 1
        if tile.inside and (dense or self.kw == 1):
            self._reduce(register, pixel, step0, stride, self.kw * self.in_c, None)
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
        image, group, panel, oh, ow = at
        shape = self.workload.output.shape
        channel0 = group * self.per_group + panel * self.panel
        pixel = self.builder.bind((image * self.out_h + oh) * self.out_w + ow)

        def store(row: int, column: Index, value: object) -> None:
            channel = channel0 + column
            flat = (pixel + row) * self.out_c + channel
            self.evaluator.forget()
            self.evaluator.sources[0] = lambda point: value
            point = Point(shape, (image, oh, ow + row, channel), flat)
            self.builder.store(self.builder["out"], flat, finish_element(self.evaluator, point))

        register.finish(channels, store)


def _extent(first: Index, block: int, total: int) -> Index:
    return block if total % block == 0 else tirx.min(block, total - first)


TEMPLATE = Template(NAME, space, kernel)

__all__ = ["TEMPLATE", "Axis", "pack_weights"]
