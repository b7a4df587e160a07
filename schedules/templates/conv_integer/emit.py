"""Convolutions of whole numbers in channels-last layout, any kernel, stride, dilation and groups.

A step multiplies several neighbours of a row of the image at once (see ``emit/dot_products``). The
rows that a chunk reads are brought into scratch first, in the type that the instruction reads and
with what lies outside of the image around them: no tile has a border, and the columns of a window
are one run of neighbours, whatever the number of channels. Weights are packed as
[group][panel][KH][runs][groups of a run][panel width][step], each run filled up with zeros.

Knobs: ``tile_w`` and ``vectors`` (the register tile), ``rows`` (output rows in a chunk), ``panels``
(weight panels in a chunk), ``order`` (which of the two is the outer loop inside a chunk),
``weights`` (how packed numbers lie, and when those are widened that are narrower than the
instruction wants).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...emit.builder import PhaseBuilder, Slot
from ...emit.dot_products import wrapping_sum
from ...emit.evaluator import Evaluator, Point
from ...emit.prefetch import ask_for_share, ask_for_whole
from ...emit.quantized import store_rows
from ...emit.staging import widen_panel
from ...emit.tile import RegisterTile, column_parts, vector_index
from ...emit.whole_tiles import TileProduct
from ...ir.kernel import Array, Packing
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo
from ..form import Emitted
from ..fused import epilogue, without_bias
from ..slots import input_slots, output_slot
from ..window_rows import WindowRows
from .form import IntegerConv, Knobs
from .in_turns import in_turns


def kernel(form: IntegerConv, knobs: Knobs) -> Emitted:
    """One phase; chunks are (image, block of panels, block of rows)."""
    return ConvNest(form, knobs).build()


class ConvNest:
    """The numbers of one convolution, and the loop nest over them."""

    def __init__(self, form: IntegerConv, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.source, self.weight = form.node.args
        self.batch, self.out_h, self.out_w, self.out_c = form.node.out.shape
        self.lanes, self.micro = form.lanes, form.micro(knobs.weights)
        self.packing = form.packing(knobs.weights)
        self.widens = knobs.weights == "widened"
        self.width = knobs.vectors * self.lanes
        self.panels = ceildiv(form.per_group, self.width)
        self.runs, self.run = form.runs
        self.blocks = self.micro.blocks(self.run)
        groups = form.rows.kernel * self.runs * self.blocks
        self.panel_size = self.micro.panel(groups, self.width)
        self.packed_size = self.packing.panel(groups, self.width)
        self.tiles = ceildiv(self.out_w, knobs.tile_w)  # in a row
        weights = form.groups * self.panels * self.panel_size
        self.streams = self.micro.element.nbytes(weights) > form.target.l1
        self.lines = self._lines()
        self.bias: str | None = None  # the slot of what sums start from

    def _lines(self) -> WindowRows:
        """The rows that a chunk reads, which ends of runs reach beyond."""
        form, source = self.form, self.workload.tensor(self.source)
        pad = int(form.node.attr("pad_value", 0))
        beyond = self.blocks * self.micro.steps - self.run
        dense = form.in_line(self.knobs.weights)
        return WindowRows(form.rows, form.columns, source, self.micro, pad, beyond, dense)

    def build(self) -> Emitted:
        """The kernel."""
        form, knobs = self.form, self.knobs
        shape = (form.groups, self.panels, self.packed_size)
        packings = {self.weight: Packing(shape, self._pack, self.packing.element.name)}
        after, bias = epilogue(self.workload), None
        if self.micro.starts:
            after, bias = without_bias(after)
        if bias is not None:
            self.bias = f"in{bias - 1}"
            packings[bias - 1] = self._by_panels()
        beyond = knobs.tile_w * self.lines.apart if isinstance(self.micro, TileProduct) else 0
        held = Tensor((self.lines.size(knobs.rows) + beyond,), self.micro.a.name)
        own, scratch = [Slot(None, "lines", held)], held.nbytes
        if self.widens:
            panel = Tensor((self.panel_size,), "int16")
            own = [
                Slot(None, "panel", panel),
                Slot(None, "lines", held, ceildiv(panel.nbytes, 64) * 64),
            ]
            scratch += own[1].offset
        slots = [*input_slots(form, packings), output_slot(form), *own]
        self.builder = builder = PhaseBuilder(slots)
        self.evaluator = Evaluator(after, builder, anchor=0, tables=form.target)
        panels = form.groups * self.panels
        row_blocks, panel_blocks = ceildiv(self.out_h, knobs.rows), ceildiv(panels, knobs.panels)
        with (
            self.micro.registers(builder, self.width) as self.register,
            builder.chunk_loop() as chunk,
        ):
            row0 = builder.let(modulo(chunk, row_blocks) * knobs.rows)
            rest = divide(chunk, row_blocks)
            panel0 = builder.let(modulo(rest, panel_blocks) * knobs.panels)
            image = divide(rest, panel_blocks)
            count = builder.let(extent(row0, knobs.rows, self.out_h))
            self.lines.bring(
                builder,
                builder[f"in{self.source}"],
                builder["lines"],
                (image, row0, count),
                self.lanes,
            )
            some = extent(panel0, knobs.panels, panels)
            rows = builder.loop(count, "row")
            units = builder.loop(some, "unit", panel0)
            if isinstance(self.micro, TileProduct):
                in_turns(self, image, (row0, count), (panel0, some))
            elif knobs.order == "rows":
                with rows as row, units as unit:
                    self._row(image, unit, row0, row)
            else:
                with units as unit:
                    self._widen(unit)
                    with rows as row:
                        self._row(image, unit, row0, row)
        phase = builder.finish(self.batch * panel_blocks * row_blocks)
        return Emitted((phase,), packings, scratch=scratch)

    def _pack(self, array: Array) -> Array:
        groups, per, micro = self.form.groups, self.form.per_group, self.packing
        high = array.shape[1]
        runs = array.reshape(groups, per, high, self.runs, self.run)
        filled = np.zeros((*runs.shape[:-1], self.blocks * micro.steps), array.dtype)
        filled[..., : self.run] = runs
        return micro.packed(filled.reshape(groups, per, -1).swapaxes(1, 2), self.width)

    def _by_panels(self) -> Packing:
        """A number for each column, in panels, and zeros for columns that only these have."""
        groups, per, width = self.form.groups, self.form.per_group, self.panels * self.width

        def pack(array: Array) -> Array:
            return np.pad(array.reshape(groups, per), ((0, 0), (0, width - per))).ravel()

        return Packing((groups * width,), pack)

    def _widen(self, unit: Index) -> None:
        """A panel into scratch, where it is not multiplied as it lies."""
        if self.widens:
            builder = self.builder
            source = builder[f"in{self.weight}"], builder.let(unit * self.panel_size)
            widen_panel(builder, source, builder["panel"], self.panel_size, self.lanes)

    def _row(self, image: Index, unit: Index, row0: Index, row: Index) -> None:
        """One output row of one panel; the last panel of a group may have fewer channels."""
        builder = self.builder
        group, panel = divide(unit, self.panels), modulo(unit, self.panels)
        first = builder.let(group * self.form.per_group)
        weights = 0 if self.widens else builder.let(unit * self.panel_size)
        for begin, channels in builder.block(panel, self.width, self.form.per_group):
            channel0 = builder.let(first + begin)
            for column, count in builder.pieces(self.out_w, self.knobs.tile_w, "tile"):
                at = (image, builder.let(row0 + row), builder.let(column), channel0)
                corner = builder.let(self.corner(group, row, at[2]))
                tile = at[1] * self.tiles + divide(at[2], self.knobs.tile_w)
                tiles = tile, self.out_h * self.tiles
                register = self.multiplied((count, channels), unit, weights, corner, tiles)
                self._store(register, at, channels)

    def corner(self, group: Index, row: Index, column: Index) -> Index:
        """Where the window of an output begins in scratch, whose row is one of the chunk's."""
        return self.lines.place(row, column) + group * (self.form.channels // self.form.groups)

    def multiplied(
        self,
        extents: tuple[int, int],
        unit: Index,
        weights: Index,
        corner: Index,
        tiles: tuple[Index, Index],
    ) -> Any:
        """The tile of so many outputs and channels with its sums; ``tiles`` are its number and how
        many use a panel."""
        register = self.register(extents[0], column_parts(extents[1], self.lanes))
        self._start(register, unit, weights)
        self._reduce(register, corner, weights, tiles)
        return register

    def _start(self, register: RegisterTile, unit: Index, weights: Index) -> None:
        """What sums begin with, where that is not zero."""
        builder, micro, bias = self.builder, self.micro, self.bias

        def start(column: int, lanes: int) -> Expr:
            found = []
            if micro.lifted:
                b = builder[f"in{self.weight}"]
                found.append(micro.start(builder, b, weights + micro.header(column), lanes))
            if bias is not None:
                at = unit * self.width + column
                found.append(builder.load(builder[bias], vector_index(at, lanes)))
            return found[0] if len(found) == 1 else wrapping_sum(found[0], found[1], lanes)

        if micro.lifted or bias is not None:
            register.start(start)

    def _reduce(
        self,
        register: RegisterTile,
        corner: Index,
        weights: Index,
        number: tuple[Index, Index],
    ) -> None:
        """The loops over a window."""
        builder, micro, lines, form = self.builder, self.micro, self.lines, self.form
        a = builder["lines"]
        b = builder["panel"] if self.widens else builder[f"in{self.weight}"]
        panel = weights + micro.header(self.width)
        units = micro.units(self.width * micro.groups)
        each = micro.steps * micro.groups
        streams = not self.widens and self.streams
        steps = self.blocks // micro.groups
        times, (tile, tiles) = form.rows.kernel * self.runs * steps, number
        ask = None
        if streams and isinstance(tiles, int) and tiles > 1:
            following = builder.let(weights + self.knobs.panels * self.panel_size)
            ask = ask_for_share(
                builder, b, following, self.panel_size, micro.element, tiles * times
            )
        with (
            builder.loop(form.rows.kernel, "kh") as kh,
            builder.loop(self.runs, "run") as run,
        ):
            begin = builder.let(corner + lines.tap(kh, run))
            step0 = builder.let(panel + (kh * self.runs + run) * (steps * units))
            with builder.loop(steps, "k") as k:
                if ask is not None:
                    ask(tile * times + (kh * self.runs + run) * steps + k)
                elif streams:
                    ask_for_whole(builder, b, step0 + k * units, units, micro.element)
                shared = a, begin + k * each, lines.apart
                micro.step(register, shared, (b, step0 + k * units))

    def _store(self, register: RegisterTile, at: tuple[Index, ...], channels: int) -> None:
        image, oh, ow, channel0 = at
        shape = self.workload.output.shape
        pixel = self.builder.let((image * self.out_h + oh) * self.out_w + ow)

        def point(output: Index, offset: Index) -> Point:
            channel = channel0 + offset
            flat = (pixel + output) * self.out_c + channel
            return Point(shape, (image, oh, ow + output, channel), flat)

        self.store(register, channels, point)

    def store(
        self, register: RegisterTile, channels: int, point: Callable[[Index, Index], Point]
    ) -> None:
        """What is made of the sums of some outputs and channels; ``point`` says where they are."""
        store_rows(register, self.evaluator, channels, point, self.lanes)
