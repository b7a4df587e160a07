"""A 1x1 convolution and the depthwise one after it, whose input is never in memory as a whole.

This is how inverted residuals begin (Sandler et al., *MobileNetV2*, 2018). A chunk is a block of
channels by a band of output rows. It keeps as many rows of the first convolution's output in
scratch as the window is high, and computes the next ones, activation included, right before an
output row reads them. Rows that two bands read are computed in both. What lies outside of the
image is skipped, as ``channelwise`` does: it is zero whatever the activation makes of zero.

Knobs: ``vectors`` (of channels in a block), ``pixels`` (of the product's register tile, by
``vectors``), ``tile_w`` (outputs of the depthwise register tile), ``rows`` (output rows in a band),
``unroll`` (steps of the product written out).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import numpy as np

from ...emit.builder import Slot
from ...emit.evaluator import Evaluator, Point
from ...emit.steps import each_step
from ...emit.tile import Parts, RegisterTile, column_parts, vector_index
from ...ir.kernel import Array, Packing
from ...ir.workload import Tensor, Workload
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo
from ...tvm_late import tirx
from ..form import Emitted
from ..fused import epilogue
from ..gemm.emit import pack_matrix
from ..slots import phase_builder
from ..taps import Taps, Vectors
from ..window import ColumnTile, RowTiles, each_tile, full_widths
from .form import Knobs, Separable


def pack_taps(array: Array, width: int) -> Array:
    """[C,KH,KW,1] to [block][KH][KW][width], zeros after the last channel."""
    channels, high, wide, _ = array.shape
    blocks = ceildiv(channels, width)
    padded = np.zeros((blocks * width, high, wide), array.dtype)
    padded[:channels] = array[..., 0]
    by_block = padded.reshape(blocks, width, high, wide)
    return np.ascontiguousarray(by_block.transpose(0, 2, 3, 1))


def kernel(form: Separable, knobs: Knobs) -> Emitted:
    """One phase; chunks are (image, band of rows, block of channels)."""
    return SeparableNest(form, knobs).build()


class SeparableNest:
    """The numbers of both convolutions, and the loop nest over them."""

    temps: tuple[Slot, ...] = ()

    def __init__(self, form: Separable, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.p, self.rows, self.columns = form.product, form.rows, form.columns
        self.lanes, self.micro = form.second.lanes, form.product.micro
        self.width = self.knobs.vectors * self.lanes
        self.blocks = ceildiv(self.p.n, self.width)
        self.taps = form.second.node.args[1]
        self.pitch = self.columns.size * self.width  # elements in a row of the ring
        self.ring = Slot(None, "ring", Tensor((form.span * self.pitch,)))

    def build(self) -> Emitted:
        """The kernel."""
        packings = self._packings()
        own = [self.ring, *self.temps]
        self.builder = builder = phase_builder(self.form, packings, own, len(self.temps))
        self.before = Evaluator(epilogue(self.form.first.workload), builder, anchor=0)
        self.after = Evaluator(self._last(), builder, anchor=0)
        height = self.knobs.rows
        bands = ceildiv(self.rows.out, height)
        with self._all_chunks() as chunk:
            block = builder.let(modulo(chunk, self.blocks))
            rest = divide(chunk, self.blocks)
            row0 = builder.let(modulo(rest, bands) * height)
            image = builder.let(divide(rest, bands))
            band = (image, row0, extent(row0, height, self.rows.out))
            for _, channels in builder.block(block, self.width, self.p.n):
                self._band(band, block, channels)
        phase = builder.finish(self.form.second.batch * bands * self.blocks)
        return Emitted((phase,), packings, scratch=self.ring.tensor.nbytes)

    def _all_chunks(self) -> AbstractContextManager[Expr]:
        """The loop over them, and what is around it."""
        return self.builder.chunk_loop()

    def _last(self) -> Workload:
        """What follows the second convolution."""
        return epilogue(self.form.second.workload)

    def _packings(self) -> dict[int, Packing]:
        """Of the weights of both."""
        taps = (self.blocks, self.rows.kernel, self.columns.kernel, self.width)
        return {
            self.p.b: self._matrix(),
            self.taps: Packing(taps, lambda w: pack_taps(w, self.width)),
        }

    def _matrix(self) -> Packing:
        p, width = self.p, self.width
        shape = p.micro.packed_shape(p.k, p.n, width)
        return Packing(shape, lambda b: pack_matrix(b, p, width))

    def _band(self, band: tuple[Index, Index, Index], block: Index, channels: int) -> None:
        image, row0, count = band
        builder, rows = self.builder, self.rows
        with builder.loop(count, "oh", row0) as oh:
            top = builder.let(oh * rows.stride - rows.pad)
            known = top - rows.stride + self.form.span  # the first row not in the ring
            begin = tirx.max(0, tirx.Select(oh == row0, top, tirx.max(top, known)))
            begin = builder.let(begin)
            end = tirx.min(rows.size, top + self.form.span)
            new = builder.let(tirx.max(0, end - begin))
            with builder.loop(new, "ih", begin) as ih:
                self._expand((image, ih), block, channels)
            self._depthwise((image, oh), block, channels)

    # The 1x1 convolution.

    def _expand(self, at: tuple[Index, Index], block: Index, channels: int) -> None:
        """One row of the ring."""
        for column, pixels in self.builder.pieces(self.columns.size, self.knobs.pixels, "tile"):
            self._product(at, column, pixels, block, channels)

    def _product(
        self, at: tuple[Index, Index], column: Index, pixels: int, block: Index, channels: int
    ) -> None:
        image, ih = at
        builder, p = self.builder, self.p
        register = self._register(pixels, column_parts(channels, self.lanes))
        pixel0 = builder.let((image * self.rows.size + ih) * self.columns.size + column)
        self._reduce(register, pixel0, block)
        ring0 = builder.let(self._ring_row(ih) + column * self.width)
        first = builder.let(block * self.width)
        shape = self.before.workload.output.shape

        def store(pixel: Index, channel: Index, value: Expr) -> None:
            c = first + channel
            point = Point(shape, (image, ih, column + pixel, c), (pixel0 + pixel) * p.n + c)
            result = self.before.finish(point, value)
            builder.store(builder["ring"], ring0 + pixel * self.width + channel, result)

        register.finish(channels, store)

    def _register(self, pixels: int, parts: Parts) -> RegisterTile:
        """Sums of the product."""
        return RegisterTile(self.builder, pixels, parts, self.micro)

    def _reduce(self, register: RegisterTile, pixel0: Index, block: Index) -> None:
        """Of neighbouring pixels and a block of channels."""
        for _, written in each_step(self.builder, self.p.k, self.knobs.unroll):
            for k in written:
                register.step(partial(self._a, pixel0, k), partial(self._b, block, k))

    def _a(self, pixel0: Index, k: Index, pixel: int) -> Expr:
        return self.builder.load(self.builder[f"in{self.p.a}"], (pixel0 + pixel) * self.p.k + k)

    def _b(self, block: Index, k: Index, column: Index, lanes: int) -> Expr:
        index = (block * self.p.k + k) * self.width + column
        return self.builder.load(self.builder[f"in{self.p.b}"], vector_index(index, lanes))

    def _ring_row(self, ih: Index) -> Index:
        return modulo(ih, self.form.span) * self.pitch

    # The depthwise convolution.

    def _depthwise(self, at: tuple[Index, Index], block: Index, channels: int) -> None:
        """One output row."""
        low, taps = self.rows.limits(self.builder, at[1])

        def outputs(ow: Index, tile: ColumnTile) -> None:
            self._outputs(at, ow, tile, (low, taps), block, channels)

        if self.columns.is_open:
            RowTiles(self.columns, self.knobs.tile_w).each(self.builder, outputs)
            return
        widths = full_widths(self.columns.out, self.knobs.tile_w)
        each_tile(self.builder, self.columns, widths, outputs)

    def _outputs(
        self,
        at: tuple[Index, Index],
        ow: Index,
        tile: ColumnTile,
        taps: tuple[Index, Index],
        block: Index,
        channels: int,
    ) -> None:
        image, oh = at
        builder, rows, columns = self.builder, self.rows, self.columns
        parts = column_parts(channels, self.lanes)
        left = columns.out - ow if tile.ends else None
        register = RegisterTile(builder, tile.width, parts, left=left)
        iw = ow * columns.stride - columns.pad
        with builder.loop(taps[1], "kh", taps[0]) as kh:
            ih = oh * rows.stride - rows.pad + kh * rows.dilation
            pixel = builder.let(self._ring_row(ih) + iw * self.width)
            weight = builder.let((block * rows.kernel + kh) * columns.kernel * self.width)
            source = Vectors(builder["ring"], pixel, self.width)
            weights = Vectors(builder[f"in{self.taps}"], weight, self.width)
            row = Taps(register, columns, source, weights)
            if tile.ends:
                row.add_many(tile, builder.let(iw))
            else:
                row.add(tile)
        first = builder.let(block * self.width)
        pixel0 = builder.let((image * self.rows.out + oh) * self.columns.out + ow)
        shape = self.workload.output.shape

        def point(output: Index, channel: Index) -> Point:
            c = first + channel
            flat = (pixel0 + output) * self.p.n + c
            return Point(shape, (image, oh, ow + output, c), flat)

        self._store(register, channels, point)

    def _store(
        self, register: RegisterTile, channels: int, point: Callable[[Index, Index], Point]
    ) -> None:
        """Outputs of the second convolution where they belong."""

        def store(output: Index, channel: Index, value: Expr) -> None:
            self.after.store(point(output, channel), value)

        register.finish(channels, store)
