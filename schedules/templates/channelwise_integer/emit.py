"""Depthwise convolutions of whole numbers: some taps of a row at once, each channel by itself.

The rows of an image that a row of outputs reads are in scratch for some channels at a time, with
what lies outside of the image around them: each pixel beside those that are taps away, so that an
instruction multiplies all with their weights (see ``emit/dot_products``) and adds the products:
two of 16 bits, or four of 8. The next row of outputs needs few more, which take the place of the
oldest: what is read again is still near. Taps that fill the last group have weights of zero.
Weights are packed as [KH][groups of taps][C][step], and what sums start from where numbers are
lifted comes after them.

Knobs: ``tile_w`` and ``vectors`` (the register tile), ``rows`` (output rows in a chunk), ``sums``
(what adds up products, and of how many taps).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np

from ...emit.builder import PhaseBuilder, Slot
from ...emit.dot_product import LIFT
from ...emit.dot_products import wrapping_sum
from ...emit.evaluator import Evaluator, Point
from ...emit.quantized import store_rows
from ...emit.staging import mix, row_pitch
from ...emit.tile import RegisterTile, column_parts, splat, vector_index
from ...ir.kernel import Array, Packing
from ...ir.size import Size
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, tail
from ...tvm_late import tirx
from ..form import Emitted
from ..fused import epilogue, without_bias
from ..shares import place
from ..slots import input_slots, output_slot
from .form import IntegerChannelwise, Knobs


def kernel(form: IntegerChannelwise, knobs: Knobs) -> Emitted:
    """One phase; chunks are (image, block of rows, strip of channels), of which threads share rows:
    those that write channels of the same pixels wait for each other's cache lines."""
    return _Channelwise(form, knobs).build()


class _Channelwise:
    def __init__(self, form: IntegerChannelwise, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.source, self.weight = form.node.args
        self.down, self.across, self.lanes = form.rows, form.columns, form.lanes
        self.micro, self.channels = form.dots(knobs.sums), form.channels
        self.width = knobs.vectors * self.lanes
        self.padded = ceildiv(self.channels, self.lanes) * self.lanes
        self.steps = self.micro.steps
        self.groups = ceildiv(self.across.kernel, self.steps)
        self.taps = self.across.kernel if self.groups == 1 else self.steps  # that any group has
        between = self.steps * self.across.dilation  # columns from one group to the next
        # Pixels that begin a group of taps of some output are so many columns apart.
        alone = self.groups == 1
        self.step = self.across.stride if alone else math.gcd(self.across.stride, between)
        self.after = between // self.step  # pixels from one group to the next
        reach = (self.across.out - 1) * self.across.stride + (self.groups - 1) * between
        self.wide = reach // self.step + 1
        self.pitch = row_pitch(self.wide * self.width * self.steps, self.micro.a)
        self.outside = self.micro.lift + int(form.node.attr("pad_value", 0))
        self.held = (self.down.kernel - 1) * self.down.dilation + 1  # rows of the image in scratch
        self.bias: str | None = None  # the slot of what sums start from

    def build(self) -> Emitted:
        """The kernel."""
        form, knobs, down = self.form, self.knobs, self.down
        size = self._units + self.micro.header(self.padded)
        packings = {self.weight: Packing((size,), self._pack)}
        after, bias = epilogue(self.workload), None
        if knobs.sums != "apart":
            after, bias = without_bias(after)
        if bias is not None:
            self.bias = f"in{bias - 1}"
            packings[bias - 1] = Packing((self.padded,), self._padded)
        held = Tensor((self.held * self.pitch,), self.micro.a.name)
        slots = [*input_slots(form, packings), output_slot(form), Slot(None, "lines", held)]
        self.builder = builder = PhaseBuilder(slots)
        self.evaluator = Evaluator(after, builder, anchor=0, tables=form.target)
        row_blocks, strips = ceildiv(down.out, knobs.rows), ceildiv(self.channels, self.width)
        blocks, threads = form.batch * row_blocks, form.target.threads
        parts = 1 if isinstance(blocks, Size) else min(threads, blocks)
        with builder.chunk_loop() as chunk:
            block, strip = (builder.let(i) for i in place(builder, chunk, blocks, strips, parts))
            row0 = builder.let(modulo(block, row_blocks) * knobs.rows)
            image = divide(block, row_blocks)
            count = builder.let(extent(row0, knobs.rows, down.out))
            for first, channels in builder.block(strip, self.width, self.channels):
                channel = builder.let(first)
                self._rows((image, row0, count), channel, channels)
        phase = builder.finish(form.batch * strips * row_blocks)
        return Emitted((phase,), packings, scratch=held.nbytes)

    @property
    def _units(self) -> int:
        """Elements that packed weights take."""
        return self.micro.units(self.down.kernel * self.groups * self.padded)

    def _pack(self, array: Array) -> Array:
        """[C,KH,KW,1] to rows of [groups of taps][C][step], and what sums start from."""
        plain = replace(self.micro, lifted=False)
        found = plain.packed(array[..., 0].transpose(1, 2, 0), self.padded).ravel()
        if not self.micro.lifted:
            return found
        sums = -self.micro.lift * self._padded(array.sum(axis=(1, 2, 3), dtype=np.int32))
        return np.concatenate([found, sums.astype(np.int32).view(found.dtype)])

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
            self._run(range(self.wide), None, begin, channels, (False,) * self.taps)

    def _line(self, first: Index, begin: Index, channels: int) -> None:
        """A row of the image, between what is left and right of it."""

        def inside(place: int) -> tuple[bool, ...]:
            column = place * self.step - self.across.pad
            reads = (column + tap * self.across.dilation for tap in range(self.taps))
            return tuple(0 <= c < self.across.size for c in reads)

        for there, places in itertools.groupby(range(self.wide), inside):
            run = list(places)
            self._run(range(run[0], run[-1] + 1), first, begin, channels, there)

    def _run(
        self,
        places: range,
        first: Index | None,
        begin: Index,
        channels: int,
        there: tuple[bool, ...],
    ) -> None:
        """Neighbouring pixels, and which of the taps from them on are in the image."""
        builder, across, micro = self.builder, self.across, self.micro
        with builder.loop(len(places), "pixel") as i:
            place = places.start + i
            column = place * self.step - across.pad
            target = builder.let(begin + place * (self.width * self.steps))
            for offset, lanes in tail(0, channels, 2 * self.lanes):
                none = splat(tirx.const(self.outside, micro.a.name), lanes)

                def tap(number: int, offset: int = offset, lanes: int = lanes) -> Expr:
                    along = number * across.dilation
                    at = first + (column + along) * self.channels + offset
                    read = builder.load(builder[f"in{self.source}"], vector_index(at, lanes))
                    return builder.let(self._held(read, lanes))

                taps = [tap(number) if inside else none for number, inside in enumerate(there)]
                taps += [none] * (self.steps - len(taps))
                mix(builder, builder["lines"], target + offset * self.steps, taps, lanes)

    def _held(self, read: Expr, lanes: int) -> Expr:
        """What is read of an image, as it lies in scratch."""
        micro, wide = self.micro, "" if lanes == 1 else f"x{lanes}"
        if micro.lifted:
            read = tirx.bitwise_xor(read, splat(tirx.const(-LIFT, "int8"), lanes))
        return tirx.Cast(f"{micro.a.name}{wide}", read)

    def _row(self, at: tuple[Index, ...], channel: Index, channels: int) -> None:
        """One row of outputs of some channels."""
        image, row0, row = at
        builder, across = self.builder, self.across
        first = builder.let(row * self.down.stride)
        for begin, count in builder.pieces(across.out, self.knobs.tile_w, "tile"):
            column = builder.let(begin)
            parts = column_parts(channels, self.lanes)
            register = RegisterTile(builder, count, parts, self.micro)
            self._start(register, channel)
            self._reduce(register, first, column, channel)
            oh = builder.let(row0 + row)
            self._store(register, (image, oh, column, channel), channels)

    def _start(self, register: RegisterTile, channel: Index) -> None:
        """What sums begin with, where that is not zero."""
        builder, micro, bias = self.builder, self.micro, self.bias

        def start(column: int, lanes: int) -> Expr:
            found = []
            if micro.lifted:
                first = self._units + micro.header(channel + column)
                found.append(micro.start(builder, builder[f"in{self.weight}"], first, lanes))
            if bias is not None:
                found.append(builder.load(builder[bias], vector_index(channel + column, lanes)))
            return found[0] if len(found) == 1 else wrapping_sum(found[0], found[1], lanes)

        if micro.lifted or bias is not None:
            register.start(start)

    def _reduce(self, register: RegisterTile, row: Index, column: Index, channel: Index) -> None:
        builder, micro, across, steps = self.builder, self.micro, self.across, self.steps
        weights, source = builder[f"in{self.weight}"], builder["lines"]
        apart = across.stride // self.step
        with builder.loop(self.down.kernel, "kh") as kh:
            number = row + kh * self.down.dilation
            line = builder.let(modulo(number, self.held) * self.pitch)
            own = builder.let(kh * self.groups * self.padded + channel)
            for group in range(self.groups):
                first = column * apart + group * self.after
                for part, (offset, lanes) in enumerate(register.parts):
                    at = micro.units(own + group * self.padded + offset)
                    weight = builder.let(micro.vector(builder, weights, at, lanes))
                    for output in range(register.rows):
                        place = (first + output * apart) * self.width + offset
                        taps = builder.load(
                            source, vector_index(line + place * steps, steps * lanes)
                        )
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
