"""Direct convolution of planes: images channels first, whose lanes are neighbouring outputs.

A chunk copies what it sees of each channel into scratch, with what is outside of the image around
it and every so-manieth column together (see ``Lines``): no window has a border then, and a tap is a
distance. The register tile is ``channels`` output channels by ``vectors`` vectors of outputs, for
which a step loads the vectors and one weight for each channel. A panel is as many output channels;
weights are packed as [group][panel][input channel][tap][channel]. A depthwise convolution has
panels of one, and its vectors lie below each other where the kernel has several rows (see
``downwards``).

Knobs: ``channels``, ``vectors`` (the register tile, of which the latter is the most), ``rows``,
``columns`` (outputs of a chunk; the last blocks reach back into those before), ``panels`` (in a
chunk, whole groups if these have fewer).
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ...emit.builder import Slot
from ...emit.evaluator import Evaluator, Point
from ...emit.lanes import deinterleaved
from ...emit.tile import RegisterTile, column_parts, vector_index
from ...ir.kernel import Array, Packing
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, split_index
from ...tvm_late import tirx
from ..covering import covering
from ..form import Emitted
from ..fused import epilogue
from ..slots import phase_builder
from ..window import Axis, even_widths
from .form import ConvPlanes, Knobs
from .sums_down import sum_down

_MOST_WRITTEN = 16  # taps with code of their own


def kernel(form: ConvPlanes, knobs: Knobs) -> Emitted:
    """One phase; chunks are (image, block of groups, of panels, of rows, of columns)."""
    return _ConvPlanes(form, knobs).build()


def pack_weights(array: Array, groups: int, channels: int) -> Array:
    """[O,KH,KW,C] to [group][panel][C][KH][KW][channel], zeros after the last channel."""
    out_c, *taps, depth = array.shape
    per = out_c // groups
    panels = ceildiv(per, channels)
    padded = np.zeros((groups, panels * channels, *taps, depth), array.dtype)
    padded[:, :per] = array.reshape(groups, per, *taps, depth)
    split = padded.reshape(groups, panels, channels, *taps, depth)
    return np.ascontiguousarray(split.transpose(0, 1, 5, 3, 4, 2))


class _ConvPlanes:
    def __init__(self, form: ConvPlanes, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload = form, knobs, form.workload
        self.source, self.weight = form.node.args
        self.down, self.across, self.lanes = form.down, form.across, form.lanes
        self.lines, self.panels = form.lines(knobs), form.panels(knobs)
        self.turns = self.lines.turns[1]
        stride = self.across.stride
        # No instructions bring so many columns apart.
        self.copied = 1 if stride % 2 == 0 and stride & (stride - 1) else self.lanes
        sees_one = self.lines.columns == self.across.out
        self.left = self.across.pad if sees_one else 0  # columns before those that are copied
        beyond = max(0, self.lines.spans[1] - self.left)
        self.seen = min(self.across.size, beyond) if sees_one else self.lines.spans[1]

    def build(self) -> Emitted:
        """The kernel."""
        form, knobs, lines = self.form, self.knobs, self.lines
        taps = self.down.kernel, self.across.kernel
        shape = (form.groups, self.panels, form.depth, *taps, knobs.channels)
        pack = partial(pack_weights, groups=form.groups, channels=knobs.channels)
        packings = {self.weight: Packing(shape, pack)}
        held = Slot(None, "lines", Tensor((form.depth * lines.channel + self.lanes,)))
        after = ceildiv(held.tensor.nbytes, form.target.vector_bytes) * form.target.vector_bytes
        sums = Slot(None, "sums", Tensor((knobs.channels * lines.sums,)), offset=after)
        self.builder = builder = phase_builder(form, packings, [held, sums])
        self.evaluator = Evaluator(epilogue(self.workload), builder, anchor=0)
        some, groups = min(knobs.panels, self.panels), max(1, knobs.panels // self.panels)
        counts = (
            ceildiv(self.across.out, lines.columns),
            ceildiv(self.down.out, lines.rows),
            ceildiv(self.panels, some),
            ceildiv(form.groups, groups),
        )
        with builder.chunk_loop() as chunk:
            numbers = split_index(chunk, (form.batch, *reversed(counts)))
            image, *places = map(builder.let, (numbers[0], *reversed(numbers[1:])))
            column0 = self._begin(places[0], lines.columns, self.across.out)
            row0 = self._begin(places[1], lines.rows, self.down.out)
            panel0, group0 = builder.let(places[2] * some), builder.let(places[3] * groups)
            with builder.loop(extent(group0, groups, form.groups), "group", group0) as group:
                self._gather(image, group, row0, column0)
                with builder.loop(extent(panel0, some, self.panels), "panel", panel0) as panel:
                    for _, channels in builder.block(panel, knobs.channels, form.per_group):
                        self._sum(group, panel, channels)
                        self._store((image, group, panel), (row0, column0), channels)
        chunks = form.batch * math.prod(counts)
        scratch = sums.offset + sums.tensor.nbytes
        return Emitted((builder.finish(chunks),), packings, scratch=scratch)

    def _begin(self, block: Index, size: int, total: int) -> Index:
        """The last block reaches back."""
        if total % size == 0:
            return self.builder.let(block * size)
        return self.builder.let(tirx.min(block * size, total - size))

    # What the chunk sees.

    def _gather(self, image: Index, group: Index, row0: Index, column0: Index) -> None:
        """All input channels of a group, into scratch."""
        builder, form, lines, down = self.builder, self.form, self.lines, self.down
        top = builder.let(row0 * down.stride - down.pad)
        first = builder.let((image * form.groups + group) * form.depth)
        with builder.loop(form.depth, "channel") as channel:
            for turn in _seen(down):
                with builder.loop(ceildiv(lines.spans[0] - turn, down.stride), "line") as line:
                    row = builder.let(top + line * down.stride + turn)
                    at = (channel * lines.turns[0] + turn) * self.turns * lines.high + line
                    place = builder.let(at * lines.pitch)
                    source = ((first + channel) * down.size + row) * self.across.size
                    copy = partial(self._line, builder.let(source), place, column0)
                    if down.stays_inside:
                        copy()
                        continue
                    inside = tirx.all(row >= 0, row < down.size)
                    with builder.when(inside):
                        copy()
                    with builder.when(tirx.Not(inside)):
                        self._clear(place, 0, lines.spans[1])

    def _clear(self, place: Index, begin: int, end: int) -> None:
        """Columns that are outside of the image."""
        builder, zero = self.builder, tirx.const(0.0, "float32")
        for turn in _seen(self.across):
            stride = self.across.stride
            first, after = ceildiv(begin - turn, stride), ceildiv(end - turn, stride)
            base = builder.let(place + turn * (self.lines.high * self.lines.pitch) + first)
            for at in builder.strips(max(0, after - first), self.lanes):
                builder.store(builder["lines"], base + at, zero)

    def _line(self, source: Index, place: Index, column0: Index) -> None:
        """A row of the image; ``source`` is where it begins."""
        builder, across, span = self.builder, self.across, self.lines.spans[1]
        if self.lines.columns == across.out:
            self._clear(place, 0, min(self.left, span))
            self._copy(source, place)
            self._clear(place, self.left + self.seen, span)
            return
        begin = builder.let(column0 * across.stride - across.pad)
        inside = tirx.all(begin >= 0, begin + span <= across.size)
        with builder.when(inside):
            self._copy(builder.let(source + begin), place)
        with builder.when(tirx.Not(inside)), builder.loop(span, "column") as column:
            at, x = builder.let(self.lines.at(place, column)), builder.let(begin + column)
            builder.store(builder["lines"], at, tirx.const(0.0, "float32"))
            with builder.when(tirx.all(x >= 0, x < across.size)):
                builder.store(builder["lines"], at, self._load(source + x))

    def _load(self, index: Index) -> Expr:
        return self.builder.load(self.builder[f"in{self.source}"], index)

    def _copy(self, source: Index, place: Index) -> None:
        """Columns of the image that the line sees, brought apart by their remainders."""
        builder, stride, seen = self.builder, self.across.stride, _seen(self.across)
        if self.seen <= 0:
            return
        for column, lanes in covering(builder, self.seen, self.copied, stride):
            first = builder.let(column)
            if lanes == 1:
                at = builder.let(self.lines.at(place, first + self.left))
                builder.store(builder["lines"], at, self._load(source + first))
                continue
            indices = (vector_index(source + first + t * lanes, lanes) for t in range(stride))
            vectors = [builder.let(self._load(index)) for index in indices]
            if stride > 1:
                vectors = deinterleaved(builder, vectors, lanes)
            base = builder.let(place + divide(first, stride))
            for turn, vector in enumerate(vectors):
                if (turn + self.left) % stride in seen:
                    at = base + self.lines.at(0, turn + self.left)
                    builder.store(builder["lines"], vector_index(at, lanes), vector)

    # What it computes.

    def _sum(self, group: Index, panel: Index, channels: int) -> None:
        """The sums of a panel, into scratch."""
        builder, lines, form = self.builder, self.lines, self.form
        size = form.depth * form.taps * self.knobs.channels
        weights = builder.let((group * self.panels + panel) * size)
        if form.goes_down:
            sum_down(builder, form, lines, self.knobs.vectors, weights)
            return
        with builder.loop(lines.runs, "run") as run:
            place, to = builder.let(run * lines.pitch), builder.let(run * lines.between)
            widths, first = even_widths(lines.vectors, self.knobs.vectors), 0
            for width in dict.fromkeys(widths):
                count = widths.count(width)
                with builder.loop(count, "tile") as tile:
                    begin = builder.let((first + tile * width) * self.lanes)
                    self._tile(place + begin, to + begin, weights, (width, channels))
                first += count * width

    def _tile(self, place: Index, to: Index, weights: Index, size: tuple[int, int]) -> None:
        builder, lines, form = self.builder, self.lines, self.form
        width, channels = size
        parts = column_parts(width * self.lanes, self.lanes)
        register = RegisterTile(builder, channels, parts)
        place, to = builder.let(place), builder.let(to)
        with builder.loop(form.depth, "channel") as channel:
            seen = builder.let(place + channel * lines.channel)
            step0 = builder.let(weights + channel * (form.taps * self.knobs.channels))
            self._taps(register, seen, step0)

        def store(channel: int, column: Index, value: Expr) -> None:
            builder.store(builder["sums"], channel * lines.sums + to + column, value)

        register.finish(width * self.lanes, store)

    def _taps(self, register: RegisterTile, seen: Index, step0: Index) -> None:
        """All of one input channel; of large kernels in loops."""
        builder, high, wide = self.builder, self.down.kernel, self.across.kernel
        written = high * wide <= _MOST_WRITTEN
        if written:
            for tap in range(high * wide):
                self._tap(register, seen, step0, tap // wide, tap % wide)
            return
        with builder.loop(high, "kh") as kh:
            if wide <= _MOST_WRITTEN:
                for kw in range(wide):
                    self._tap(register, seen, step0, kh, kw)
                return
            with builder.loop(wide, "kw") as kw:
                self._tap(register, seen, step0, kh, kw)

    def _tap(self, register: RegisterTile, seen: Index, step0: Index, kh: Index, kw: Index) -> None:
        builder, lines = self.builder, self.lines
        row, column = kh * self.down.dilation, kw * self.across.dilation
        turn, line = modulo(row, self.down.stride), divide(row, self.down.stride)
        place = seen + (turn * self.turns * lines.high + line) * lines.pitch
        first = builder.let(self.lines.at(place, column))
        step = builder.let(step0 + (kh * self.across.kernel + kw) * self.knobs.channels)
        register.step(
            lambda channel: builder.load(builder[f"in{self.weight}"], step + channel),
            lambda at, lanes: builder.load(builder["lines"], vector_index(first + at, lanes)),
        )

    def _store(
        self, at: tuple[Index, Index, Index], begin: tuple[Index, Index], channels: int
    ) -> None:
        """The block's outputs of a panel, through the epilogue."""
        builder, lines, (image, group, panel) = self.builder, self.lines, at
        shape = self.workload.output.shape
        channel0 = builder.let(group * self.form.per_group + panel * self.knobs.channels)
        with builder.loop(channels, "output") as output, builder.invariant_scope():
            channel = builder.let(channel0 + output)
            with builder.loop(lines.rows, "row") as line:
                row = builder.let(begin[0] + line)
                first = builder.let(((image * shape[1] + channel) * shape[2] + row) * shape[3])
                place = builder.let(output * lines.sums + line * lines.between)
                for column in builder.strips(lines.columns, self.lanes):
                    coords = image, channel, row, begin[1] + column
                    value = builder.load(builder["sums"], place + column)
                    point = Point(shape, coords, first + begin[1] + column)
                    self.evaluator.store(point, value)


def _seen(axis: Axis) -> list[int]:
    """Remainders of the rows or columns that taps see."""
    return sorted({tap * axis.dilation % axis.stride for tap in range(axis.kernel)})
