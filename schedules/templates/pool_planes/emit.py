"""Pools of planes: images of one channel, whose lanes are neighbours of a row.

Windows are combined down, then across. What a window has in each column is combined into lines in
scratch, whole vectors of the image at a time, with what is outside of the image around them: so no
window has a border. Where windows go by several columns at once, so many lines hold every
so-manieth column, and neighbouring outputs see neighbours there.

Knobs: ``lines`` (rows of outputs in a chunk).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from ...emit.builder import Slot
from ...emit.evaluator import Evaluator, Point
from ...emit.lanes import deinterleaved
from ...emit.tile import RegisterTile, vector_index
from ...ir.workload import Tensor
from ...tir.compare import extreme
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo
from ...tvm_late import tirx
from ..covering import covering
from ..form import Emitted
from ..fused import epilogue
from ..slots import phase_builder
from .form import Knobs, PoolPlanes

_AT_ONCE = 8  # lines that are combined down before the first is combined across
_MOST_WRITTEN = 16  # elements of a window's row or column with code of their own
_MOST_SHARES = 64  # outputs at borders whose shares are written one by one


def kernel(form: PoolPlanes, knobs: Knobs) -> Emitted:
    """One phase; chunks are blocks of rows."""
    return _PoolPlanes(form, knobs).build()


class _PoolPlanes:
    def __init__(self, form: PoolPlanes, knobs: Knobs) -> None:
        self.form, self.knobs, self.workload, self.node = form, knobs, form.workload, form.node
        self.rows, self.columns, self.lanes = form.rows, form.columns, form.lanes
        self.pitch = form.placement.pitch(self.node.args[0]) or 1
        self.is_max = self.node.op == "max_pool2d"
        self.fill = -math.inf if self.is_max else 0.0
        self.turns = self.columns.stride
        if self.turns & (self.turns - 1) and self.turns % 2 == 0:
            self.lanes = 1  # no instructions bring so many lines apart
        self.length = ceildiv(form.reach, self.turns) + form.lanes  # of a line with room behind it
        self.inside = self.rows.stays_inside and self.columns.stays_inside
        self.shared = not (self.is_max or self.inside or self.node.attr("count_include_pad"))

    def build(self) -> Emitted:
        """The kernel."""
        size = _AT_ONCE * self.turns * self.length
        lines = Slot(None, "lines", Tensor((size,)))
        shares = Slot(None, "shares", Tensor((self.columns.out,)), offset=lines.tensor.nbytes)
        own = [lines, shares] if self.shared else [lines]
        self.builder = builder = phase_builder(self.form, {}, own)
        self.evaluator = Evaluator(epilogue(self.workload), builder, anchor=0)
        block, total = self.knobs.lines, self.form.lines
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * block)
            count = extent(first, block, total)
            self._surround()
            if self.shared:
                self._share()
            with builder.loop(ceildiv(count, _AT_ONCE), "band") as band:
                begin = builder.let(first + band * _AT_ONCE)
                some = builder.let(tirx.min(_AT_ONCE, first + count - begin))
                for combine in (self._down, self._across):
                    with builder.loop(some, "line") as line:
                        combine(builder.let(begin + line), line)
        scratch = sum(slot.tensor.nbytes for slot in own)
        return Emitted((builder.finish(ceildiv(total, block)),), scratch=scratch)

    def _at(self, line: Index, column: Index) -> Index:
        """Where a line has a column, which counts from the first of the padding."""
        turn, place = modulo(column, self.turns), divide(column, self.turns)
        return (line * self.turns + turn) * self.length + place

    def _surround(self) -> None:
        """What is outside of the image, in all lines; nothing else is written there later."""
        builder, pad = self.builder, self.columns.pad
        after = pad + self.columns.size
        with builder.loop(_AT_ONCE, "line") as line:
            for begin, end in ((0, min(pad, self.form.reach)), (after, self.form.reach)):
                if begin < end:
                    with builder.loop(end - begin, "column", begin) as column:
                        value = tirx.const(self.fill, "float32")
                        builder.store(builder["lines"], self._at(line, column), value)

    # Down.

    def _down(self, number: Index, line: Index) -> None:
        """A line of what windows have in each column."""
        builder, rows = self.builder, self.rows
        image, row = divide(number, rows.out), builder.let(modulo(number, rows.out))
        low, taps = rows.limits(builder, row)
        top = builder.let(image * rows.size + row * rows.stride - rows.pad)
        seen = min(self.columns.size, self.form.reach - self.columns.pad)
        for column, lanes in covering(builder, seen, self.lanes, self.turns):
            self._columns(builder.let(column), lanes, line, top, (low, taps))

    def _columns(
        self, column: Index, lanes: int, line: Index, top: Index, taps: tuple[Index, Index]
    ) -> None:
        """``turns`` vectors of neighbours, or what is left of a row."""
        builder, rows, pad = self.builder, self.rows, self.columns.pad
        turns = self.turns if lanes > 1 else 1
        sums = self._sums(turns, lanes)

        def tap(number: Index, is_first: bool) -> None:
            row = builder.let((top + number * rows.dilation) * self.columns.size + column)
            for turn in range(turns):
                first = (row + turn * lanes) * self.pitch
                value = builder.load(builder[f"in{self.node.args[0]}"], self._indices(first, lanes))
                sums.update(turn, 0, partial(self._combined, value, is_first))

        self._each(rows.kernel, taps, tap)
        if lanes == 1:
            at = builder.let(self._at(line, column + pad))
            builder.store(builder["lines"], at, sums.vector(0, 0))
            return
        vectors = [builder.let(vector) for vector in sums.vectors()]
        if turns > 1:
            vectors = deinterleaved(builder, vectors, lanes)
        place = builder.let(self._at(line, 0) + divide(column, turns))
        for turn, vector in enumerate(vectors):
            at = place + self._at(0, pad + turn)
            builder.store(builder["lines"], vector_index(at, lanes), vector)

    def _indices(self, first: Index, lanes: int) -> Index:
        return first if lanes == 1 else tirx.Ramp(first, self.pitch, lanes)

    # Across.

    def _across(self, number: Index, line: Index) -> None:
        """A row of outputs."""
        builder, columns = self.builder, self.columns
        image, row = divide(number, self.rows.out), builder.let(modulo(number, self.rows.out))
        scale = None if self.is_max else self._scale(row)
        begin = builder.let(line * (self.turns * self.length))
        for first, lanes in covering(builder, columns.out, self.form.lanes, 1):
            output = builder.let(first)
            sums = self._sums(1, lanes)
            self._each(
                columns.kernel,
                (0, columns.kernel),
                partial(self._tap, sums, builder.let(begin + output), lanes),
            )
            self._store(sums, (builder.let(image), row, output), lanes, scale)

    def _tap(
        self, sums: RegisterTile, begin: Index, lanes: int, number: Index, is_first: bool
    ) -> None:
        at = begin + self._at(0, number * self.columns.dilation)
        value = self.builder.load(self.builder["lines"], vector_index(at, lanes))
        sums.update(0, 0, partial(self._combined, value, is_first))

    def _store(
        self, sums: RegisterTile, at: tuple[Index, ...], lanes: int, scale: Expr | None
    ) -> None:
        image, row, output = at
        builder, shape = self.builder, self.workload.output.shape
        place = builder.let((image * self.rows.out + row) * self.columns.out + output)

        def store(_: int, lane: Index, value: Expr) -> None:
            if scale is not None:
                value = value * scale
            if self.shared:
                value = value * builder.load(builder["shares"], output + lane)
            point = Point(shape, (image, row, output + lane, 0), place + lane)
            self.evaluator.store(point, value)

        sums.finish(lanes, store)

    # Both ways.

    def _sums(self, count: int, lanes: int) -> RegisterTile:
        sums = RegisterTile(self.builder, count, [(0, lanes)])
        if self.is_max:
            sums.fill(self.fill)
        return sums

    def _combined(self, value: Expr, is_first: bool, old: Expr) -> Expr:
        """NaN is larger than any number, as in ONNX Runtime."""
        if is_first:
            return value
        return extreme("max", old, value) if self.is_max else old + value

    def _each(
        self, kernel: int, taps: tuple[Index, Index], tap: Callable[[Index, bool], None]
    ) -> None:
        """``tap`` of each, and whether it is known to be the first; written out where all are."""
        builder, (low, count) = self.builder, taps
        if kernel > _MOST_WRITTEN:
            with builder.loop(count, "tap", low) as number:
                tap(number, False)
            return
        if not isinstance(count, int):
            with builder.when(count != kernel), builder.loop(count, "tap", low) as number:
                tap(number, False)
        with nullcontext() if isinstance(count, int) else builder.when(count == kernel):
            for number in range(kernel):
                tap(number, number == 0)

    # Means.

    def _scale(self, row: Index) -> Expr:
        """What sums of a row of outputs are multiplied with, but for what is each output's own."""
        if not self.shared:
            return tirx.const(1.0 / (self.rows.kernel * self.columns.kernel), "float32")
        return self.builder.let(_share_of(self.rows.limits(self.builder, row)[1]))

    def _share(self) -> None:
        """What each output is one of, of the columns that its windows have inside of the image."""
        builder, columns, shares = self.builder, self.columns, self.builder["shares"]
        every = columns.everywhere
        whole = range(max(0, every.start), min(columns.out, every.stop))
        if columns.out - len(whole) > _MOST_SHARES:
            with builder.loop(columns.out, "output") as output:
                _, count = columns.limits(builder, output)
                builder.store(shares, output, _share_of(count))
            return
        with builder.loop(columns.out, "output") as output:
            builder.store(shares, output, _share_of(columns.kernel))
        for output in sorted({*range(columns.out)} - {*whole}):
            count = sum(columns.valid(output, tap) for tap in range(columns.kernel))
            builder.store(shares, output, _share_of(count))


def _share_of(count: Index) -> Expr:
    """One of so many; NaN of none."""
    if isinstance(count, int):
        return tirx.const(1.0 / count if count else math.nan, "float32")
    share = tirx.const(1.0, "float32") / tirx.Cast("float32", tirx.max(count, 1))
    return tirx.Select(count > 0, share, tirx.const(math.nan, "float32"))
