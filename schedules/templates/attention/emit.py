"""Fused attention: scores, softmax and the weighted sum of values, never in memory as a matrix.

Milakov and Gimelshein, *Online normalizer calculation for softmax* (2018); Dao et al.,
*FlashAttention* (2022). A chunk is a block of rows (queries) of one head. Neighbouring rows are the
lanes of vectors, so the softmax over the keys needs no reduction across lanes: the block of q is
transposed into scratch once, keys and values are read as they lie, one scalar a time, and the sum
is transposed back when it is stored. Keys come in blocks; between two, what was summed is rescaled
to the new maximum.

Knobs: ``vectors`` (of rows in a chunk), ``tile`` (keys, and columns of v, in the register tile),
``keys`` (in a block, whose scores stay in cache).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial

from ...emit.builder import Slot
from ...emit.lanes import Rows, load_columns, store_columns
from ...emit.steps import each_step, written_out
from ...emit.tile import RegisterTile, column_parts, splat, vector_index
from ...ir.kernel import ALIGNMENT
from ...ir.size import Size
from ...ir.workload import Tensor
from ...ops.attention_form import View
from ...tir import mathfn
from ...tir.indices import Expr, Index, ceildiv, divide, modulo, split_index
from ...tvm_late import tirx
from ..form import Emitted
from ..slots import phase_builder
from .form import FusedAttention, Knobs
from .mask import masked

Finish = Callable[[Index, RegisterTile, int], None]  # of a tile's first row and their number


def kernel(form: FusedAttention, knobs: Knobs) -> Emitted:
    """One phase; chunks are (batch, head, block of rows)."""
    return AttentionNest(form, knobs).build()


class AttentionNest:
    """The numbers of one attention, and the loop nest over them."""

    def __init__(self, form: FusedAttention, knobs: Knobs) -> None:
        self.whole, self.form, self.lanes = form, form.attention, form.lanes
        self.args = form.node.args
        self.tile, self.block = knobs.tile, knobs.vectors * form.lanes  # keys, rows
        keys = self.form.keys
        self.keys = (
            knobs.keys if isinstance(keys, Size) else ceildiv(keys, ceildiv(keys, knobs.keys))
        )
        self.slots = stacked(self._buffers())

    def _buffers(self) -> Mapping[str, Tensor]:
        """What a worker has of its own."""
        sizes = {
            "query": self.form.depth * self.block,
            "scores": self.keys * self.block,
            "sum": self.form.width * self.block,
        }
        return {name: Tensor((size,)) for name, size in sizes.items()}

    def build(self) -> Emitted:
        """The kernel."""
        form = self.form
        self.builder = builder = phase_builder(self.whole, {}, self.slots)
        blocks = ceildiv(form.rows, self.block)
        with self._all_chunks() as chunk:
            block = builder.let(modulo(chunk, blocks))
            batch, head = split_index(divide(chunk, blocks), (form.batch, form.heads))
            self.at = (builder.let(batch), builder.let(head))
            first = builder.let(block * self.block)
            for begin, rows, wide in self._blocks(block, first):
                self._rows(begin, rows, wide)
        phase = builder.finish(form.batch * form.heads * blocks)
        last = self.slots[-1]
        return Emitted((phase,), scratch=last.offset + last.tensor.nbytes)

    def _all_chunks(self) -> AbstractContextManager[Expr]:
        """The loop over them, and what is around it."""
        return self.builder.chunk_loop()

    def _count(self, rows: Index, part: int) -> Index:
        """Of a vector's lanes that have a row; 0 or less where there are none."""
        return min(self.lanes, rows - part) if isinstance(rows, int) else rows - part

    def _start(self, view: View) -> Index:
        batch, head = self.at
        return self.builder.let(view.offset + batch * view.batch + head * view.head)

    def _blocks(self, block: Index, first: Index) -> Iterator[tuple[Index, Index, int]]:
        """(first row, rows, rows in whole vectors) of what a block is computed in.

        Where the number of rows is known only at run time, there is code for each number of
        vectors. The last rows reach back into those before, if there are as many.
        """
        builder, total = self.builder, self.form.rows
        if not isinstance(total, Size):
            for _, rows in builder.block(block, self.block, total):
                yield first, rows, ceildiv(rows, self.lanes) * self.lanes
            return
        widths = range(self.lanes, self.block + 1, self.lanes)
        left = builder.let(total - first)
        for wide in reversed(widths):
            needs = left > wide - self.lanes
            with builder.when(needs if wide == self.block else tirx.all(needs, left <= wide)):
                if total >= self.block:
                    yield builder.let(tirx.min(first, total - wide)), wide, wide
                else:
                    yield first, left, wide

    def _rows(self, first: Index, rows: Index, wide: int) -> None:
        """One block of ``rows`` rows, as whole vectors; lanes after the last row hold zeros, or
        that row again where the number of rows is known only at run time."""
        form, builder = self.form, self.builder
        self.parts = column_parts(wide, self.lanes)
        self.wide = len(self.parts) * self.lanes
        self.largest, self.total = builder.local(self.wide), builder.local(self.wide)
        self.base, self.shrink = builder.local(self.wide), builder.local(self.wide)
        for column, lanes in self.parts:
            with builder.vector(lanes) as lane:
                builder.store(self.largest, column + lane, _f32(-math.inf))
                builder.store(self.total, column + lane, _f32(0.0))
        self._load_query(first, rows)
        k0, v0 = self._start(form.k), self._start(form.v)
        if isinstance(form.keys, Size):
            with builder.loop(ceildiv(form.keys, self.keys), "block") as block:
                start = builder.let(block * self.keys)
                keys = builder.let(tirx.min(self.keys, form.keys - start))
                self._keys(first, rows, start, keys, k0, v0, only=False)
            self._store(first, rows)
            return
        for start, keys in builder.pieces(form.keys, self.keys, "block"):
            only = isinstance(start, int) and start == 0  # nothing was summed before
            self._keys(first, rows, builder.let(start), keys, k0, v0, only)
        self._store(first, rows)

    def _load_query(self, first: Index, rows: Index) -> None:
        """The block of q, scaled and transposed to [depth][rows]."""
        builder, form = self.builder, self.form
        start = builder.let(self._start(form.q) + first * form.q.row)
        source, query = self._operand(0), builder["query"]
        for part, lanes in self.parts:
            at = start + part * form.q.row
            square = Rows(source, at, form.q.row, self._count(rows, part), form.depth)

            def keep(d: Index, vector: Expr, part: int = part, lanes: int = lanes) -> None:
                index = vector_index(d * self.block + part, lanes)
                builder.store(query, index, vector * splat(_f32(form.scale), lanes))

            load_columns(builder, square, lanes, keep)

    def _operand(self, position: int) -> Expr:
        return self.builder[f"in{self.args[position]}"]

    def _keys(
        self, first: Index, rows: Index, start: Index, keys: Index, k0: Index, v0: Index, only: bool
    ) -> None:
        """One block of keys: scores and their maximum, exponentials and their sum, values."""
        builder, form = self.builder, self.form
        old = builder.local(self.wide)
        for column, lanes in self.parts:
            with builder.vector(lanes) as lane:
                builder.store(old, column + lane, builder.load(self.largest, column + lane))
        key0 = builder.let(k0 + start * form.k.row)
        self._multiply_keys(keys, key0, self._keep_score(first, rows, start))
        for column, lanes in self.parts:
            with builder.vector(lanes) as lane:
                largest = builder.load(self.largest, column + lane)
                # All scores so far may be -inf: exp(-inf - 0) is 0 where -inf - -inf is NaN.
                base = tirx.Select(largest == _f32(-math.inf), _f32(0.0), largest)
                base = builder.keep(base)
                builder.store(self.base, column + lane, base)
                if not only:
                    gap = builder.keep(builder.load(old, column + lane) - base)
                    factor = mathfn.exp_below(gap, builder.let)
                    builder.store(self.shrink, column + lane, factor)
                    total = builder.load(self.total, column + lane)
                    builder.store(self.total, column + lane, total * factor)
        self._exponentials(keys)
        value0 = builder.let(v0 + start * form.v.row)
        self._multiply_values(keys, value0, self._add_values(start, only))

    def _multiply_keys(self, keys: Index, key0: Index, finish: Finish) -> None:
        """Scores of a block of keys, the first of which begins at ``key0``."""
        builder, form, source = self.builder, self.form, self._operand(1)
        self._tiles(
            keys,
            form.depth,
            lambda s, d: builder.load(source, key0 + s * form.k.row + d),
            builder["query"],
            finish,
        )

    def _multiply_values(self, keys: Index, value0: Index, finish: Finish) -> None:
        """Their share in the sums."""
        builder, form, values = self.builder, self.form, self._operand(2)
        self._tiles(
            form.width,
            keys,
            lambda e, s: builder.load(values, value0 + s * form.v.row + e),
            builder["scores"],
            finish,
        )

    def _tiles(
        self,
        extent: Index,
        depth: Index,
        scalar: Callable[[Index, Index], Expr],
        matrix: Expr,
        finish: Finish,
    ) -> None:
        """Products [extent, depth] times [depth, rows] in register tiles."""
        builder = self.builder

        def value(begin: Index, k: Index, row: int) -> Expr:
            return scalar(begin + row, k)

        def vector(at: Index, column: int, lanes: int) -> Expr:
            return builder.load(matrix, vector_index(at + column, lanes))

        def tile(begin: Index, count: int) -> None:
            register = RegisterTile(builder, count, self.parts)
            sums = count * len(self.parts)
            times = written_out(sums, depth, self.whole.target) if isinstance(depth, int) else 1
            for _, written in each_step(builder, depth, times):
                for k in written:
                    register.step(partial(value, begin, k), partial(vector, k * self.block))
            finish(begin, register, count)

        for first, count in builder.pieces(extent, self.tile, "tile"):
            tile(builder.let(first), count)

    def _keep_score(self, first: Index, rows: Index, start: Index) -> Finish:
        """Add the mask, keep the score and the largest one."""
        builder = self.builder

        def finish(begin: Index, register: RegisterTile, count: int) -> None:
            for part, (column, lanes) in enumerate(self.parts):
                with builder.vector(lanes) as lane:
                    largest = builder.load(self.largest, column + lane)
                    for row in range(count):
                        score = register.element(row, lane, part)
                        key = start + begin + row
                        score = self._masked(score, first, rows, key, column, lane)
                        score = builder.keep(score)
                        at = (begin + row) * self.block + column + lane
                        builder.store(builder["scores"], at, score)
                        largest = builder.keep(tirx.Select(score > largest, score, largest))
                    builder.store(self.largest, column + lane, largest)

        return finish

    def _masked(
        self, score: Expr, first: Index, rows: Index, key: Index, column: int, lane: Index
    ) -> Expr:
        """Lanes after the last row read the last row's."""

        def to_row(at: Index) -> Index:
            row = column + lane
            whole = isinstance(rows, int) and rows % self.lanes == 0
            return at + first + (row if whole else tirx.min(row, rows - 1))

        return masked(self.builder, self.form, self.args, score, (*self.at, key), to_row)

    def _exponentials(self, keys: Index) -> None:
        """exp(score - largest) in place, and its sum over the keys."""
        builder = self.builder
        with builder.loop(keys, "s") as s:
            for column, lanes in self.parts:
                with builder.vector(lanes) as lane:
                    at = s * self.block + column + lane
                    base = builder.load(self.base, column + lane)
                    gap = builder.keep(builder.load(builder["scores"], at) - base)
                    value = builder.keep(mathfn.exp_below(gap, builder.let))
                    builder.store(builder["scores"], at, value)
                    total = builder.load(self.total, column + lane)
                    builder.store(self.total, column + lane, total + value)

    def _add_values(self, start: Index, only: bool) -> Finish:
        """Add a block's share to the sums, rescaled to the largest score."""
        builder = self.builder

        def finish(begin: Index, register: RegisterTile, count: int) -> None:
            for row in range(count):
                for part, (column, lanes) in enumerate(self.parts):
                    with builder.vector(lanes) as lane:
                        at = (begin + row) * self.block + column + lane
                        value = register.element(row, lane, part)
                        if not only:
                            before = builder.load(builder["sum"], at)
                            scaled = before * builder.load(self.shrink, column + lane)
                            first = start == 0
                            value = value + tirx.Select(first, _f32(0.0), scaled)
                        builder.store(builder["sum"], at, value)

        return finish

    def _store(self, first: Index, rows: Index) -> None:
        """Divide the sums by the exponentials' and transpose them into the output."""
        builder, form = self.builder, self.form
        start = builder.let(self._start(form.out) + first * form.out.row)
        for part, lanes in self.parts:
            total = builder.let(builder.load(self.total, vector_index(part, lanes)))
            share = builder.let(splat(_f32(1.0), lanes) / total)
            at = start + part * form.out.row
            square = Rows(builder["out"], at, form.out.row, self._count(rows, part), form.width)

            def finished(e: Index, part: int = part, share: Expr = share) -> Expr:
                lanes = self.lanes
                value = builder.load(builder["sum"], vector_index(e * self.block + part, lanes))
                if not form.empty_is_zero:
                    return value * share
                some = share < splat(_f32(math.inf), lanes)
                return tirx.Select(some, value * share, splat(_f32(0.0), lanes))

            store_columns(builder, square, lanes, finished, self._stored)

    def _stored(self, value: Expr, lanes: int) -> Expr:
        """What memory gets for so many elements of the result."""
        return value


def _f32(value: float) -> Expr:
    return tirx.const(value, "float32")


def stacked(buffers: Mapping[str, Tensor]) -> list[Slot]:
    """Buffers after one another in the worker's scratch."""
    slots: list[Slot] = []
    offset = 0
    for name, tensor in buffers.items():
        slots.append(Slot(None, name, tensor, offset))
        offset += ceildiv(tensor.nbytes, ALIGNMENT) * ALIGNMENT
    return slots
