"""Winograd convolution F(m x m, 3x3) of whole numbers, stride 1: a fraction of the multiplications.

``transform`` says why it is exact. A chunk is some rows of tiles of m x m outputs, and some panels
of output channels. The rows of the image that it reads are brought into scratch, with what lies
around the image, and transformed there; then, for each panel and block of channels, there is a
matrix product for each of the (m+2)^2 positions, and sums are transformed back and added up over
blocks. Weights are transformed when they are packed: [panel][block][position][pairs][width][2].

Knobs: ``m``; ``lines`` (rows of tiles in a chunk), ``rows`` and ``vectors`` (register tile of the
matrix product), ``panels`` (panels of output channels in a chunk), ``sums`` (what adds up
products).
"""

from __future__ import annotations

from ...emit.builder import PhaseBuilder, Slot
from ...emit.evaluator import Evaluator, Point
from ...emit.prefetch import ask_for_share, ask_for_whole
from ...emit.quantized import store_rows
from ...emit.staging import row_pitch
from ...emit.tile import RegisterTile, column_parts, vector_index
from ...ir.dtype import INT32
from ...ir.kernel import ALIGNMENT, Packing
from ...ir.workload import Tensor
from ...tir import arithmetic
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo
from ...tvm_late import tirx
from ..form import Emitted
from ..fused import epilogue
from ..slots import input_slots, output_slot
from ..window import Axis
from ..window_rows import WindowRows
from .form import IntegerWinograd, Knobs
from .transform import SIZES, both_ways, pack_weights


def kernel(form: IntegerWinograd, knobs: Knobs) -> Emitted:
    """One phase; chunks are (image, group of panels, block of rows of tiles)."""
    return _Winograd(form, knobs).build()


class _Winograd:
    def __init__(self, form: IntegerWinograd, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.source, self.weight = form.node.args
        self.lanes, self.micro, self.size = form.lanes, form.dots(knobs.sums), SIZES[knobs.m]
        self.m, self.side = knobs.m, self.size.side
        self.positions = self.side**2
        self.out_h, self.out_w, self.out_c = form.rows.out, form.columns.out, form.out_c
        self.across, self.lines = form.across(knobs.m), knobs.lines
        self.tiles = self.across * self.lines
        self.width = knobs.vectors * self.lanes
        self.panels = ceildiv(self.out_c, self.width)
        self.depth = form.depth(knobs.m)
        self.blocks = ceildiv(form.in_c, self.depth)
        self.step = self.micro.units(self.depth // 2 * self.width)  # of a block and position
        weights = self.panels * self.blocks * self.positions * self.step
        self.streams = self.micro.element.nbytes(weights) > form.target.l2 // 2
        self.pitch = row_pitch(ceildiv(form.in_c, 2 * self.lanes) * 2 * self.lanes, self.micro.a)
        # From one position to the next: neither inputs nor products of one tile share few sets.
        self.apart = row_pitch(self.tiles * self.pitch, self.micro.a)
        self.products_apart = row_pitch(self.tiles * self.width, INT32)
        rows, columns = (
            Axis(axis.size, count * self.m, 3, 1, axis.pad, 1)
            for axis, count in ((form.rows, form.down(self.m)), (form.columns, self.across))
        )
        outside = int(form.node.attr("pad_value", 0))
        source = self.workload.tensor(self.source)
        self.image = WindowRows(rows, columns, source, self.micro, outside)

    def build(self) -> Emitted:
        """The kernel."""
        form, knobs = self.form, self.knobs
        shape = (self.panels, self.blocks, self.positions, self.step)
        packing = Packing(
            shape, lambda w: pack_weights(w, self.size, self.micro, self.width, self.depth)
        )
        packings = {self.weight: packing}
        own, scratch = self._scratch()
        slots = [*input_slots(form, packings), output_slot(form), *own]
        self.builder = builder = PhaseBuilder(slots)
        self.evaluator = Evaluator(epilogue(self.workload), builder, anchor=0, tables=form.target)
        down = ceildiv(form.down(self.m), self.lines)
        groups = ceildiv(self.panels, knobs.panels)
        with builder.chunk_loop() as chunk:
            line0 = builder.let(modulo(chunk, down) * self.lines)
            rest = divide(chunk, down)
            panel0 = builder.let(modulo(rest, groups) * knobs.panels)
            image = builder.let(divide(rest, groups))
            at = (image, builder.let(line0 * self.m), self.lines * self.m)
            self.image.bring(builder, builder[f"in{self.source}"], builder["lines"], at, self.lanes)
            self._transform_inputs()
            count = extent(panel0, knobs.panels, self.panels)
            with builder.loop(count, "panel", panel0) as panel:
                self._panel(panel)
                for first, columns in builder.block(panel, self.width, self.out_c):
                    self._store((image, at[1]), builder.let(first), columns)
        return Emitted((builder.finish(form.batch * groups * down),), packings, scratch=scratch)

    def _scratch(self) -> tuple[list[Slot], int]:
        """Rows of the image, transformed inputs, products, and sums of blocks."""
        sizes = {
            "lines": (self.image.size(self.lines * self.m) + 2 * self.lanes, "int16"),
            "tiles": (self.positions * self.apart, "int16"),
            "products": (self.positions * self.products_apart, "int32"),
            "sums": (self.m**2 * self.tiles * self.width, "int32"),
        }
        slots, used = [], 0
        for name, (count, dtype) in sizes.items():
            tensor = Tensor((count,), dtype)
            slots.append(Slot(None, name, tensor, used))
            used += ceildiv(tensor.nbytes, ALIGNMENT) * ALIGNMENT
        return slots, used

    def _transform_inputs(self) -> None:
        """Every tile's inputs, as [position][tile][channel]."""
        builder, lanes, apart = self.builder, 2 * self.lanes, self.apart
        with (
            builder.loop(self.lines, "line") as line,
            builder.loop(self.across, "tile") as tile,
            builder.loop(ceildiv(self.form.in_c, lanes), "strip") as strip,
        ):
            corner = self.image.place(line * self.m, tile * self.m)
            origin = builder.let(corner + strip * lanes)
            target = builder.let((line * self.across + tile) * self.pitch + strip * lanes)

            def read(y: int, x: Index, lane: Index) -> Expr:
                return builder.load(builder["lines"], origin + self.image.tap(y, x) + lane)

            def write(y: Index, x: int, lane: Index, value: Expr) -> None:
                place = target + (y * self.side + x) * apart + lane
                builder.store(builder["tiles"], place, value)

            both_ways(
                builder, self.size.inputs, (self.side, self.side), lanes, "int16", read, write
            )

    def _panel(self, panel: Index) -> None:
        """The sums of a panel's outputs, over all blocks of channels."""
        builder = self.builder
        pairs, whole = self.depth // 2, ceildiv(self.form.in_c, 2)

        def add(block: Index, count: int, first: bool) -> None:
            with builder.loop(self.positions, "position") as position:
                number = (panel * self.blocks + block) * self.positions + position
                weights = builder.let(number * self.step)
                self._product(position, block * self.depth, weights, count)
            self._transform_sums(first)

        add(0, min(pairs, whole), True)
        if self.blocks > 2:
            with builder.loop(self.blocks - 2, "block", 1) as block:
                add(block, pairs, False)
        if self.blocks > 1:
            add(self.blocks - 1, whole - (self.blocks - 1) * pairs, False)

    def _product(self, position: Index, channel: Index, weights: Index, count: int) -> None:
        """[tiles, pairs] times [pairs, panel] for one position and block of channels."""
        builder, micro = self.builder, self.micro
        source, packed = builder["tiles"], builder[f"in{self.weight}"]
        units = micro.units(self.width)
        first = builder.let(position * self.apart + channel)
        target = builder.let(position * self.products_apart)
        ask = None
        if self.streams:
            times = ceildiv(self.tiles, self.knobs.rows) * count
            following = builder.let(weights + self.step)
            ask = ask_for_share(builder, packed, following, count * units, micro.element, times)
        for tile0, tiles in builder.pieces(self.tiles, self.knobs.rows, "rows"):
            tile = builder.let(tile0)
            time = builder.let(divide(tile, self.knobs.rows) * count)
            begin = builder.let(first + tile * self.pitch)
            register = RegisterTile(builder, tiles, column_parts(self.width, self.lanes), micro)
            with builder.loop(count, "k") as k:
                if ask is not None:
                    ask(time + k)
                else:
                    ask_for_whole(builder, packed, weights + k * units, units, micro.element)
                shared = source, begin + k * micro.steps, self.pitch
                micro.step(register, shared, (packed, weights + k * units))
            for row in range(tiles):
                for part, (column, lanes) in enumerate(register.parts):
                    place = target + (tile + row) * self.width + column
                    value = register.vector(row, part)
                    builder.store(builder["products"], vector_index(place, lanes), value)

    def _transform_sums(self, first: bool) -> None:
        """From products to sums of outputs, [tile][pixel of it][column]."""
        builder, lanes, apart = self.builder, self.lanes, self.products_apart
        with (
            builder.loop(self.tiles, "tile") as tile,
            builder.loop(self.knobs.vectors, "vector") as vector,
        ):
            source = builder.let(tile * self.width + vector * lanes)
            target = builder.let(tile * (self.m**2 * self.width) + vector * lanes)

            def read(y: int, x: Index, lane: Index) -> Expr:
                return builder.load(
                    builder["products"], source + (y * self.side + x) * apart + lane
                )

            def write(y: Index, x: int, lane: Index, value: Expr) -> None:
                place = target + (y * self.m + x) * self.width + lane
                total = self._shifted(value)
                if not first:
                    total = total + builder.load(builder["sums"], place)
                builder.store(builder["sums"], place, total)

            both_ways(builder, self.size.outputs, (self.side, self.m), lanes, "int32", read, write)

    def _shifted(self, value: Expr) -> Expr:
        """An output of what is the square of the scale times that, modulo 2^32."""
        keep, inverse = self.builder.keep, self.size.inverse
        if inverse != 1:
            value = arithmetic.multiply(value, tirx.const(inverse, "int32"), keep)
        return tirx.shift_right(value, tirx.const(self.size.shift, "int32"))

    def _store(self, at: tuple[Index, Index], channel0: Index, columns: int) -> None:
        """All outputs of a panel through the epilogue."""
        builder, m = self.builder, self.m
        image, oh0 = at
        shape = self.workload.output.shape
        with builder.loop(self.lines * m, "row") as row:
            oh = builder.let(tirx.const(0, "int32") + (oh0 + row))
            with builder.when(oh < self.out_h), builder.loop(self.out_w, "ow") as ow:
                tile = divide(row, m) * self.across + divide(ow, m)
                pixel = tile * (m * m) + modulo(row, m) * m + modulo(ow, m)
                base = builder.let(pixel * self.width)
                flat = builder.let(((image * self.out_h + oh) * self.out_w + ow) * self.out_c)
                register = RegisterTile(
                    builder, 1, column_parts(self.width, self.lanes), self.micro
                )
                register.start(
                    lambda at, lanes: builder.load(
                        builder["sums"],
                        vector_index(base + at, lanes),
                    )
                )

                def point(_: int, offset: Index) -> Point:
                    channel = channel0 + offset
                    return Point(shape, (image, oh, ow, channel), flat + channel)

                store_rows(register, self.evaluator, columns, point, self.lanes)
