"""Depthwise convolutions of whole numbers: two taps of a row at once, each channel by itself.

The rows of an image that a row of outputs reads are in scratch for some channels at a time, in 16
bits and with what lies outside of the image around them: each pixel beside the one that is a tap
away, so that an instruction multiplies both with their weights (see ``emit/dot_products``) and adds
the two products. The next row of outputs needs few more, which take the place of the oldest: what
is read again is still near. A window of an odd number of columns has a tap more, whose weights are
zero. Weights are packed as [KH][pairs of taps][C][2].

Knobs: ``tile_w`` and ``vectors`` (the register tile), ``rows`` (output rows in a chunk), ``sums``
(what adds up products).
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from ...emit.builder import PhaseBuilder, Slot
from ...emit.evaluator import Evaluator, Point
from ...emit.quantized import store_rows
from ...emit.staging import mix, row_pitch
from ...emit.tile import RegisterTile, column_parts, splat, vector_index
from ...ir.kernel import Array, Packing
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, tail
from ...tvm_late import tirx
from ..form import Emitted
from ..fused import epilogue, without_bias
from ..slots import input_slots, output_slot
from .form import IntegerChannelwise, Knobs


def kernel(form: IntegerChannelwise, knobs: Knobs) -> Emitted:
    """One phase; chunks are (image, strip of channels, block of rows)."""
    return _Channelwise(form, knobs).build()


class _Channelwise:
    def __init__(self, form: IntegerChannelwise, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.source, self.weight = form.node.args
        self.down, self.across, self.lanes = form.rows, form.columns, form.lanes
        self.micro, self.channels = form.dots(knobs.sums), form.channels
        self.width = knobs.vectors * self.lanes
        self.padded = ceildiv(self.channels, self.lanes) * self.lanes
        self.pairs = ceildiv(self.across.kernel, 2)
        # Pixels that begin a pair of taps of some output are so many columns apart.
        self.step = math.gcd(self.across.stride, 2 * self.across.dilation)
        reach = (self.across.out - 1) * self.across.stride
        reach += 2 * (self.pairs - 1) * self.across.dilation
        self.wide = reach // self.step + 1
        self.pitch = row_pitch(self.wide * self.width * 2, self.micro.a)
        self.outside = int(form.node.attr("pad_value", 0))
        self.held = (self.down.kernel - 1) * self.down.dilation + 1  # rows of the image in scratch
        self.bias: str | None = None  # the slot of what sums start from

    def build(self) -> Emitted:
        """The kernel."""
        form, knobs, down = self.form, self.knobs, self.down
        units = self.micro.units(self.pairs * self.padded)
        packings = {self.weight: Packing((down.kernel, units), self._pack)}
        after, bias = epilogue(self.workload), None
        if knobs.sums == "fused":
            after, bias = without_bias(after)
        if bias is not None:
            self.bias = f"in{bias - 1}"
            packings[bias - 1] = Packing((self.padded,), self._padded)
        held = Tensor((self.held * self.pitch,), "int16")
        slots = [*input_slots(form, packings), output_slot(form), Slot(None, "lines", held)]
        self.builder = builder = PhaseBuilder(slots)
        self.evaluator = Evaluator(after, builder, anchor=0, tables=form.target)
        row_blocks, strips = ceildiv(down.out, knobs.rows), ceildiv(self.channels, self.width)
        with builder.chunk_loop() as chunk:
            row0 = builder.let(modulo(chunk, row_blocks) * knobs.rows)
            rest = divide(chunk, row_blocks)
            strip, image = builder.let(modulo(rest, strips)), divide(rest, strips)
            count = builder.let(extent(row0, knobs.rows, down.out))
            for first, channels in builder.block(strip, self.width, self.channels):
                channel = builder.let(first)
                self._rows((image, row0, count), channel, channels)
        phase = builder.finish(form.batch * strips * row_blocks)
        return Emitted((phase,), packings, scratch=held.nbytes)

    def _pack(self, array: Array) -> Array:
        """[C,KH,KW,1] to rows of [pairs of taps][C][2]."""
        packed = self.micro.packed(array[..., 0].transpose(1, 2, 0), self.padded)
        return packed.reshape(self.down.kernel, -1)

    def _padded(self, array: Array) -> Array:
        """A number for each channel, and zeros that fill the last vector."""
        return np.pad(array.ravel(), (0, self.padded - array.size))

    def _rows(self, at: tuple[Index, Index, Index], channel: Index, channels: int) -> None:
        """Rows of outputs, and before each what it reads that was not read yet."""
        image, row0, rows = at
        builder, stride = self.builder, self.down.stride
        new = min(stride, self.held)
        with builder.loop(self.held - new, "line") as line:
            self._bring(image, row0, line, channel, channels)
        with builder.loop(rows, "row") as row:
            with builder.loop(new, "line") as line:
                number = builder.let(row * stride + (self.held - new) + line)
                self._bring(image, row0, number, channel, channels)
            self._row((image, row0, row), channel, channels)

    def _bring(self, image: Index, row0: Index, line: Index, channel: Index, channels: int) -> None:
        """The row of an image which is so many from the first that a chunk reads, into scratch."""
        builder, down = self.builder, self.down
        row = builder.let(tirx.const(0, "int32") + (row0 * down.stride - down.pad + line))
        begin = builder.let(modulo(line, self.held) * self.pitch)
        pixel = builder.let((image * down.size + row) * (self.across.size * self.channels))
        if down.stays_inside:
            self._line(pixel + channel, begin, channels)
            return
        with builder.when(tirx.all(row >= 0, row < down.size)):
            self._line(pixel + channel, begin, channels)
        with builder.when(tirx.any(row < 0, row >= down.size)):
            self._run(range(self.wide), None, begin, channels, (False, False))

    def _line(self, first: Index, begin: Index, channels: int) -> None:
        """A row of the image, between what is left and right of it."""

        def inside(place: int) -> tuple[bool, bool]:
            column = place * self.step - self.across.pad
            reads = (column, column + self.across.dilation)
            low, high = (0 <= c < self.across.size for c in reads)
            return low, high

        for there, places in itertools.groupby(range(self.wide), inside):
            run = list(places)
            self._run(range(run[0], run[-1] + 1), first, begin, channels, there)

    def _run(
        self,
        places: range,
        first: Index | None,
        begin: Index,
        channels: int,
        there: tuple[bool, bool],
    ) -> None:
        """Neighbouring pixels, of which both taps, one or none are in the image."""
        builder, across = self.builder, self.across
        with builder.loop(len(places), "pixel") as i:
            place = places.start + i
            column = place * self.step - across.pad
            target = builder.let(begin + place * (self.width * 2))
            for offset, lanes in tail(0, channels, 2 * self.lanes):

                def tap(inside: bool, along: int, offset: int = offset, lanes: int = lanes) -> Expr:
                    if not inside:
                        return splat(tirx.const(self.outside, "int16"), lanes)
                    at = first + (column + along) * self.channels + offset
                    read = builder.load(builder[f"in{self.source}"], vector_index(at, lanes))
                    wide = "int16" if lanes == 1 else f"int16x{lanes}"
                    return builder.let(tirx.Cast(wide, read))

                both = tap(there[0], 0), tap(there[1], across.dilation)
                mix(builder, builder["lines"], target + offset * 2, both, lanes)

    def _row(self, at: tuple[Index, ...], channel: Index, channels: int) -> None:
        """One row of outputs of some channels."""
        image, row0, row = at
        builder, across = self.builder, self.across
        first = builder.let(row * self.down.stride)
        for begin, count in builder.pieces(across.out, self.knobs.tile_w, "tile"):
            column = builder.let(begin)
            parts = column_parts(channels, self.lanes)
            register = RegisterTile(builder, count, parts, self.micro)
            if self.bias is not None:
                own = builder[self.bias]
                register.start(
                    lambda at, lanes: builder.load(own, vector_index(channel + at, lanes))  # noqa: B023
                )
            self._reduce(register, first, column, channel)
            oh = builder.let(row0 + row)
            self._store(register, (image, oh, column, channel), channels)

    def _reduce(self, register: RegisterTile, row: Index, column: Index, channel: Index) -> None:
        builder, micro, across = self.builder, self.micro, self.across
        weights, source = builder[f"in{self.weight}"], builder["lines"]
        apart = across.stride // self.step
        with builder.loop(self.down.kernel, "kh") as kh:
            number = row + kh * self.down.dilation
            line = builder.let(modulo(number, self.held) * self.pitch)
            own = builder.let(kh * self.pairs * self.padded + channel)
            for pair in range(self.pairs):
                first = column * apart + pair * (2 * across.dilation // self.step)
                for part, (offset, lanes) in enumerate(register.parts):
                    at = micro.units(own + pair * self.padded + offset)
                    weight = builder.let(micro.vector(builder, weights, at, lanes))
                    for output in range(register.rows):
                        place = (first + output * apart) * self.width + offset
                        taps = builder.load(source, vector_index(line + place * 2, 2 * lanes))
                        register.update(
                            output,
                            part,
                            lambda old: micro.emit(old, taps, weight),  # noqa: B023
                        )

    def _store(self, register: RegisterTile, at: tuple[Index, ...], channels: int) -> None:
        image, oh, ow, channel0 = at
        builder, shape = self.builder, self.workload.output.shape
        pixel = builder.let((image * self.down.out + oh) * self.across.out + ow)

        def point(output: int, offset: Index) -> Point:
            channel = channel0 + offset
            flat = (pixel + output) * self.channels + channel
            return Point(shape, (image, oh, ow + output, channel), flat)

        store_rows(register, self.evaluator, channels, point, self.lanes)
