"""Attention whose lanes are keys, then columns of the values: no lane is idle for want of rows.

A chunk is a block of rows (queries) of one head. Keys are transposed, a panel at a time, so that
neighbouring keys are the lanes of the scores; these stay in the worker's scratch, where the softmax
makes weights of them row by row. Values are read as they lie. Both products are in register tiles
of some rows, whose scalars are the queries, then the weights.

Knobs: ``rows`` and ``vectors`` of the register tile, ``tiles`` of rows in a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from ...emit.lanes import Rows, folded, load_columns
from ...emit.steps import each_step, written_out
from ...emit.tile import Parts, RegisterTile, column_parts, splat, vector_index
from ...ir.workload import Tensor
from ...ops.attention_form import View
from ...tir import mathfn
from ...tir.indices import Expr, Index, ceildiv, divide, modulo, split_index, tail
from ...tvm_late import tirx
from ..attention.emit import stacked
from ..attention.mask import masked
from ..form import Emitted
from ..slots import phase_builder
from .form import KeyAttention, Knobs


def kernel(form: KeyAttention, knobs: Knobs) -> Emitted:
    """One phase; chunks are (batch, head, block of rows)."""
    return _Keys(form, knobs).build()


class _Keys:
    def __init__(self, form: KeyAttention, knobs: Knobs) -> None:
        self.whole, self.form, self.lanes = form, form.attention, form.lanes
        self.args, self.tile = form.node.args, knobs.rows
        self.wide = knobs.vectors * self.lanes
        self.block = form.chunk_rows(knobs)
        self.pitch = ceildiv(self.form.keys, self.lanes) * self.lanes  # of a row of scores
        self.slots = stacked({
            "panel": Tensor((self.form.depth * self.wide,)),
            "scores": Tensor((self.block * self.pitch,)),
            "shares": Tensor((self.block,)),
        })  # fmt: skip

    def build(self) -> Emitted:
        """The kernel."""
        form = self.form
        self.builder = builder = phase_builder(self.whole, {}, self.slots)
        blocks = ceildiv(form.rows, self.block)
        with builder.chunk_loop() as chunk:
            block = builder.let(modulo(chunk, blocks))
            batch, head = split_index(divide(chunk, blocks), (form.batch, form.heads))
            self.at = (builder.let(batch), builder.let(head))
            for first, rows in builder.block(block, self.block, form.rows):
                self._rows(builder.let(first), rows)
        phase = builder.finish(form.batch * form.heads * blocks)
        last = self.slots[-1]
        return Emitted((phase,), scratch=last.offset + last.tensor.nbytes)

    def _operand(self, position: int) -> Expr:
        return self.builder[f"in{self.args[position]}"]

    def _start(self, view: View) -> Index:
        batch, head = self.at
        return self.builder.let(view.offset + batch * view.batch + head * view.head)

    def _rows(self, first: Index, rows: int) -> None:
        """One block of rows."""
        builder, form = self.builder, self.form
        self.query0 = builder.let(self._start(form.q) + first * form.q.row)
        self.keys0 = self._start(form.k)
        for begin, count in builder.pieces(form.keys, self.wide, "panel"):
            self._scores(first, rows, builder.let(begin), count)
        with builder.loop(rows, "row") as row:
            self._softmax(builder.let(row))
        self.values0 = self._start(form.v)
        self.out0 = builder.let(self._start(form.out) + first * form.out.row)
        for begin, count in builder.pieces(form.width, self.wide, "panel"):
            self._values(rows, builder.let(begin), count)

    def _scores(self, first: Index, rows: int, begin: Index, count: int) -> None:
        """Of ``count`` keys from ``begin`` on."""
        builder, form = self.builder, self.form
        parts, panel = column_parts(count, self.lanes), builder["panel"]
        for column, lanes in parts:
            start = builder.let(self.keys0 + (begin + column) * form.k.row)
            keys = Rows(self._operand(1), start, form.k.row, count - column, form.depth)

            def keep(d: Index, vector: Expr, column: int = column, lanes: int = lanes) -> None:
                builder.store(panel, vector_index(d * self.wide + column, lanes), vector)

            load_columns(builder, keys, lanes, keep)

        def finish(register: RegisterTile, row: int, place: Index) -> None:
            for part, (column, lanes) in enumerate(parts):
                with builder.vector(lanes) as lane:
                    score = register.element(row, lane, part) * _f32(form.scale)
                    score = self._masked(score, first + place, begin + column, count - column, lane)
                    at = place * self.pitch + begin + column + lane
                    builder.store(builder["scores"], at, score)

        self._tiles(
            rows,
            form.depth,
            parts,
            lambda row, d: builder.load(self._operand(0), self.query0 + row * form.q.row + d),
            lambda d, at, lanes: builder.load(panel, vector_index(d * self.wide + at, lanes)),
            finish,
        )

    def _masked(self, score: Expr, row: Index, begin: Index, count: int, lane: Index) -> Expr:
        """A vector of scores with the mask; those after the last key are -inf."""
        is_full = count >= self.lanes
        key = lane if is_full else tirx.min(lane, count - 1)
        place = (*self.at, begin + key)
        score = masked(self.builder, self.form, self.args, score, place, lambda at: at + row)
        return score if is_full else tirx.Select(lane < count, score, _f32(-math.inf))

    def _tiles(
        self,
        rows: int,
        depth: int,
        parts: Parts,
        scalar: Callable[[Index, Index], Expr],
        vector: Callable[[Index, int, int], Expr],
        finish: Callable[[RegisterTile, int, Index], None],
    ) -> None:
        """Products [rows, depth] times [depth, parts] in register tiles."""
        builder = self.builder

        def value(begin: Index, k: Index, row: int) -> Expr:
            return scalar(begin + row, k)

        def tile(begin: Index, count: int) -> None:
            register = RegisterTile(builder, count, parts)
            times = written_out(count * len(parts), depth, self.whole.target)
            for _, written in each_step(builder, depth, times):
                for k in written:
                    register.step(partial(value, begin, k), partial(vector, k))
            for row in range(count):
                finish(register, row, begin + row)

        for first, count in builder.pieces(rows, self.tile, "tile"):
            tile(builder.let(first), count)

    def _softmax(self, row: Index) -> None:
        """exp(score - largest) in place, and one over the sum of all."""
        builder, lanes, scores = self.builder, self.lanes, self.builder["scores"]
        start = builder.let(row * self.pitch)
        most, total = builder.local(lanes), builder.local(lanes)
        builder.store(most, vector_index(0, lanes), splat(_f32(-math.inf), lanes))
        builder.store(total, vector_index(0, lanes), splat(_f32(0.0), lanes))
        with builder.loop(self.pitch // lanes, "part") as part, builder.vector(lanes) as lane:
            score, held = (
                builder.load(scores, start + part * lanes + lane),
                builder.load(most, lane),
            )
            builder.store(most, lane, tirx.Select(score > held, score, held))
        largest = folded(builder, builder.load(most, vector_index(0, lanes)), lanes, _larger)
        # All scores may be -inf: exp(-inf - 0) is 0 where -inf - -inf is NaN.
        base = builder.let(tirx.Select(largest == _f32(-math.inf), _f32(0.0), largest))
        with builder.loop(self.pitch // lanes, "part") as part, builder.vector(lanes) as lane:
            at = start + part * lanes + lane
            gap = builder.keep(builder.load(scores, at) - base)
            value = builder.keep(mathfn.exp_below(gap, builder.let))
            builder.store(scores, at, value)
            builder.store(total, lane, builder.load(total, lane) + value)
        every = builder.load(total, vector_index(0, lanes))
        every = folded(builder, every, lanes, lambda some, other: some + other)
        builder.store(builder["shares"], row, _f32(1.0) / every)

    def _values(self, rows: int, begin: Index, count: int) -> None:
        """The weighted sum of ``count`` columns of the values from ``begin`` on."""
        builder, form, scores = self.builder, self.form, self.builder["scores"]
        whole = count // self.lanes * self.lanes
        parts = column_parts(whole, self.lanes) + tail(whole, count, self.lanes)
        values = builder.let(self.values0 + begin)

        def finish(register: RegisterTile, row: int, place: Index) -> None:
            share = builder.let(builder.load(builder["shares"], place))
            out = builder.let(self.out0 + place * form.out.row + begin)
            for part, (column, lanes) in enumerate(parts):
                self._store(out + column, register.vector(row, part), share, lanes)

        self._tiles(
            rows,
            form.keys,
            parts,
            lambda row, key: builder.load(scores, row * self.pitch + key),
            lambda key, at, lanes: builder.load(
                self._operand(2), vector_index(values + key * form.v.row + at, lanes)
            ),
            finish,
        )

    def _store(self, index: Index, total: Expr, share: Expr, lanes: int) -> None:
        value = total * splat(share, lanes)
        if self.form.empty_is_zero:
            some = splat(share, lanes) < splat(_f32(math.inf), lanes)
            value = tirx.Select(some, value, splat(_f32(0.0), lanes))
        self.builder.store(self.builder["out"], vector_index(index, lanes), value)


def _larger(some: Expr, other: Expr) -> Expr:
    return tirx.Select(some > other, some, other)


def _f32(value: float) -> Expr:
    return tirx.const(value, "float32")
