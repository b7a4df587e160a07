"""Depthwise convolution and pooling in channels-last layout: each channel by itself, or a few.

The register tile is ``tile_w`` neighbouring outputs by ``vectors`` vectors of channels; the taps of
a kernel row are written out, so that neighbouring outputs share their loads. Depthwise weights are
packed as [KH][KW][C]. Where a channel has several outputs, lanes are outputs, and what is read of
it is repeated in a register. Where channels are added up in groups that are narrower than a vector,
it has several groups, and each lane takes one channel of its group after the other.

Knobs: ``tile_w`` and ``vectors`` (the register tile, of which the former is the most: tiles of a
row are nearly equal), ``rows`` (output rows in a chunk), ``columns`` (outputs of a row in a chunk).
"""

from __future__ import annotations

import math

import numpy as np

from ... import ops
from ...emit.bfloat16 import rounds_bfloat16
from ...emit.evaluator import Evaluator, Point
from ...emit.rounded_rows import store_rows
from ...emit.tile import RegisterTile
from ...ir.kernel import Array, Packing
from ...tir.compare import extreme
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, tail
from ...tvm_late import tirx
from ..form import Emitted
from ..fused import epilogue
from ..slots import phase_builder
from ..taps import Combine, Taps, Vectors, are_many
from ..window import Blocks, ColumnTile, RowTiles
from .form import Channelwise, Knobs, computed


def pack_weights(array: Array) -> Array:
    """[C,KH,KW,group] to [KH][KW x group][C]."""
    channels, high, wide, group = array.shape
    ordered = array.transpose(1, 2, 3, 0).reshape(high, wide * group, channels)
    return np.ascontiguousarray(ordered)


def kernel(form: Channelwise, knobs: Knobs) -> Emitted:
    """One phase; chunks are (image, block of rows, block of columns)."""
    return _Channelwise(form, knobs).build()


_COMBINE: dict[str, Combine] = {
    "avg_pool2d": lambda old, value, _: old + value,
    "max_pool2d": lambda old, value, _: extreme("max", old, value),  # NaN wins, as in ONNX Runtime
}


class _Channelwise:
    def __init__(self, form: Channelwise, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.node, self.op = form.node, form.node.op
        self.rows, self.columns, self.lanes = form.rows, form.columns, form.lanes
        self.batch, self.channels, self.taps = form.batch, form.channels, form.taps
        self.weighted = isinstance(ops.of(self.node), ops.Product)
        self.pitch = form.placement.pitch(self.node.args[0]) or form.read
        self.tiles = RowTiles(self.columns, knobs.tile_w)
        self.many = are_many(self.columns, self.tiles.widths, form.group)

    def build(self) -> Emitted:
        """The kernel."""
        packings = {}
        if self.weighted:
            shape = (self.rows.kernel, self.columns.kernel * self.form.group, self.channels)
            packings[self.node.args[1]] = Packing(shape, pack_weights)
        self.builder = builder = phase_builder(self.form, packings)
        self.evaluator = Evaluator(epilogue(computed(self.workload)), builder, anchor=0)
        row_block = self.knobs.rows
        blocks = ceildiv(self.rows.out, row_block)
        tiles = Blocks(self.tiles.count, max(1, self.knobs.columns // self.knobs.tile_w))
        with builder.chunk_loop() as chunk:
            rest, self.among = tiles.of(builder, chunk)
            row0 = builder.let(modulo(rest, blocks) * row_block)
            image = divide(rest, blocks)
            rows = extent(row0, row_block, self.rows.out)
            with builder.loop(rows, "oh", row0) as oh:
                self._row(image, oh)
        return Emitted((builder.finish(self.batch * blocks * tiles.count),), packings)

    def _row(self, image: Index, oh: Index) -> None:
        builder = self.builder
        low, taps = self.rows.limits(builder, oh)
        step = self.knobs.vectors * self.lanes
        full = self.channels // step
        vectors = [(i * self.lanes, self.lanes) for i in range(self.knobs.vectors)]

        def tiles(first: Index, parts: list[tuple[int, int]]) -> None:
            self.tiles.each(
                builder,
                lambda ow, tile: self._tile((image, oh, ow, first), tile, parts, (low, taps)),
                self.among,
                alike=self.many,
            )

        if full:
            with builder.loop(full, "block") as block:
                tiles(builder.let(block * step), vectors)
        rest = tail(0, self.channels - full * step, self.lanes)
        for begin in range(0, len(rest), len(vectors)):
            tiles(full * step, rest[begin : begin + len(vectors)])

    def _tile(
        self,
        at: tuple[Index, ...],
        tile: ColumnTile,
        parts: list[tuple[int, int]],
        taps: tuple[Index, Index],
    ) -> None:
        image, oh, ow, channel = at
        builder = self.builder
        left = self.columns.out - ow if tile.ends else None
        register = RegisterTile(builder, tile.width, parts, self.form.micro, left)
        if self.op == "max_pool2d":
            register.fill(self.form.lowest)
        with builder.loop(taps[1], "kh", taps[0]) as kh:
            ih = oh * self.rows.stride - self.rows.pad + kh * self.rows.dilation
            iw = ow * self.columns.stride - self.columns.pad
            pixel = builder.let(
                ((image * self.rows.size + ih) * self.columns.size + iw) * self.pitch
            )
            begin = builder[f"in{self.node.args[0]}"]
            group, repeats = self.form.group, self.form.repeats
            source = Vectors(begin, pixel + divide(channel, repeats), self.pitch, repeats, group)
            weights = None
            if self.weighted:
                first = kh * self.columns.kernel * group * self.channels + channel
                weights = Vectors(builder[f"in{self.node.args[1]}"], first, self.channels)
            row = Taps(register, self.columns, source, weights, self._combine)
            if self.many or tile.ends:
                row.add_many(tile, builder.let(iw))
            else:
                row.add(tile)
        self._store(register, at, tile, taps[1])

    def _combine(self, old: Expr, value: Expr, weight: Expr | None) -> Expr:
        if self.weighted:
            return self.form.micro.emit(old, value, weight)
        return _COMBINE[self.op](old, value, weight)

    def _store(
        self, register: RegisterTile, at: tuple[Index, ...], tile: ColumnTile, taps: Index
    ) -> None:
        image, oh, ow, channel0 = at
        builder, shape = self.builder, self.workload.output.shape
        pixel = builder.let((image * self.rows.out + oh) * self.columns.out + ow)
        scales = self._scales(tile, taps, ow)

        def point(row: int, column: Index) -> Point:
            channel = channel0 + column
            flat = (pixel + row) * self.channels + channel
            return Point(shape, (image, oh, ow + row, channel), flat)

        def store(row: int, column: Index, value: Expr) -> None:
            result = value if scales is None else value * scales[row]
            self.evaluator.store(point(row, column), result)

        columns = sum(lanes for _, lanes in register.parts)
        if scales is None and rounds_bfloat16(self.form.target):
            store_rows(register, self.evaluator, columns, point)
        else:
            register.finish(columns, store)

    def _scales(self, tile: ColumnTile, taps: Index, ow: Index) -> list[Expr] | None:
        """What the sum of each output of the tile is multiplied with; None for one."""
        if self.op != "avg_pool2d":
            return None
        if self.node.attr("count_include_pad"):
            return [tirx.const(1.0 / self.taps, "float32")] * tile.width
        if (self.many and not tile.inside) or tile.ends:
            outputs = (self.builder.let(ow + row) for row in range(tile.width))
            return [self._share_of(taps, self.columns.limits(self.builder, o)[1]) for o in outputs]
        counts = [sum(row in outputs for outputs in tile.taps) for row in range(tile.width)]
        by_count = {c: self._share(taps, c) for c in set(counts)}
        return [by_count[c] for c in counts]

    def _share(self, rows: Index, columns: int) -> Expr:
        """One of the elements that a window has inside of the image; NaN of none."""
        one, nan = tirx.const(1.0, "float32"), tirx.const(math.nan, "float32")
        if columns == 0 or (isinstance(rows, int) and rows == 0):
            return nan
        may_miss = not isinstance(rows, int) and self._misses_image()
        some = tirx.const(rows, "int32") if isinstance(rows, int) else rows
        if may_miss:
            some = tirx.max(some, tirx.const(1, "int32"))
        height = tirx.Cast("float32", some)
        share = one / (height * tirx.const(float(columns), "float32"))
        return self.builder.let(tirx.Select(rows > 0, share, nan) if may_miss else share)

    def _share_of(self, rows: Index, columns: Index) -> Expr:
        """The same where both are known only at run time."""
        seen = self.builder.let(rows * columns)
        share = tirx.const(1.0, "float32") / tirx.Cast("float32", tirx.max(seen, 1))
        return self.builder.let(tirx.Select(seen > 0, share, tirx.const(math.nan, "float32")))

    def _misses_image(self) -> bool:
        """Whether a window has all its rows in the padding; it may where these are open."""
        if not isinstance(self.rows.out, int):
            return True
        return not all(
            any(self.rows.valid(oh, kh) for kh in range(self.rows.kernel))
            for oh in range(self.rows.out)
        )
