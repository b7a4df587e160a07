"""Attention of few queries, one at a time: what a decoder does with each token.

A chunk is one row (query) of one head. Lanes are columns of the keys, then of the values, so both
are read once, as they lie, in whole vectors. Products of as many keys as there are lanes are
added up across lanes together; the scores stay in the worker's scratch. The softmax takes three
passes, of which only the first and the last read more than scores.

Knobs: ``columns`` (vectors of a value that are summed at once), ``keys`` (whose sums are apart, so
that no addition waits for the one before).
"""

from __future__ import annotations

import math

from ...emit.builder import Slot
from ...emit.lanes import lane_sums
from ...emit.prefetch import ask_for
from ...emit.tile import splat, vector_index
from ...ir.workload import Tensor
from ...ops.attention_form import View
from ...tir import mathfn
from ...tir.indices import Expr, Index, ceildiv, divide, modulo, split_index, tail
from ...tvm_late import tirx
from ..attention.mask import masked
from ..form import Emitted
from ..slots import phase_builder
from .form import Knobs, RowAttention

AHEAD = 24  # rows of keys and values between what is used and what is asked for
_LEVEL = 2  # the cache that is asked for them


def kernel(form: RowAttention, knobs: Knobs) -> Emitted:
    """One phase; chunks are (batch, head, row)."""
    return _Rows(form, knobs).build()


class _Rows:
    def __init__(self, form: RowAttention, knobs: Knobs) -> None:
        self.whole, self.form, self.knobs = form, form.attention, knobs
        self.lanes, self.wide = form.lanes, form.wide
        self.args = form.node.args
        groups = ceildiv(self.form.keys, self.wide)
        self.scores = Slot(None, "scores", Tensor((groups * self.wide,)), 0)

    def build(self) -> Emitted:
        """The kernel."""
        form = self.form
        self.builder = builder = phase_builder(self.whole, {}, [self.scores])
        with builder.chunk_loop() as chunk:
            self.row = builder.let(modulo(chunk, form.rows))
            batch, head = split_index(divide(chunk, form.rows), (form.batch, form.heads))
            self.at = (builder.let(batch), builder.let(head))
            self._load_query()
            self._scores()
            self._exponentials()
            self._values()
        phase = builder.finish(form.batch * form.heads * form.rows)
        return Emitted((phase,), scratch=self.scores.tensor.nbytes)

    def _operand(self, position: int) -> Expr:
        return self.builder[f"in{self.args[position]}"]

    def _start(self, view: View) -> Index:
        batch, head = self.at
        return self.builder.let(view.offset + batch * view.batch + head * view.head)

    def _load_query(self) -> None:
        """The row of q, scaled."""
        builder, form = self.builder, self.form
        self.query = builder.local(form.depth)
        start = builder.let(self._start(form.q) + self.row * form.q.row)
        for column in range(0, form.depth, self.wide):
            vector = builder.load(self._operand(0), vector_index(start + column, self.wide))
            scaled = vector * splat(_f32(form.scale), self.wide)
            builder.store(self.query, vector_index(column, self.wide), scaled)

    def _scores(self) -> None:
        """Scores of all keys, in groups of as many as lanes, and the largest in each lane.

        In a group that is not full the last key is there again, with a score of -inf.
        """
        builder, keys, wide = self.builder, self.form.keys, self.wide
        self.largest = builder.local(wide)
        with builder.vector(wide) as lane:
            builder.store(self.largest, lane, _f32(-math.inf))
        self.keys0 = self._start(self.form.k)
        full, rest = divide(keys, wide), modulo(keys, wide)
        with builder.loop(full, "group") as group:
            self._group(builder.let(group * wide), wide)
        if isinstance(rest, int):
            if rest:
                self._group(full * wide, rest)
            return
        with builder.when(rest > 0):
            self._group(builder.let(full * wide), builder.let(rest))

    def _group(self, first: Index, count: Index) -> None:
        builder, form, wide = self.builder, self.form, self.wide
        is_full = isinstance(count, int) and count == wide

        def place(key: Index) -> Index:
            return key if is_full else tirx.min(key, count - 1)

        sums = []
        for key in range(wide):
            at = builder.let(self.keys0 + (first + place(key)) * form.k.row)
            ask_for(builder, self._operand(1), at, form.depth, AHEAD * form.k.row, _LEVEL)
            total: Expr = None
            for column in range(0, form.depth, wide):
                index = vector_index(at + column, wide)
                query = builder.load(self.query, vector_index(column, wide))
                product = builder.load(self._operand(1), index) * query
                total = product if total is None else total + product
            sums.append(builder.let(total))
        total = lane_sums(builder, sums, wide)
        held = builder.local(wide)
        builder.store(held, vector_index(0, wide), total)
        with builder.vector(wide) as lane:
            score = masked(
                builder,
                form,
                self.args,
                builder.load(held, lane),
                (*self.at, first + place(lane)),
                lambda at: at + self.row,
            )
            if not is_full:
                score = tirx.Select(lane < count, score, _f32(-math.inf))
            score = builder.keep(score)
            builder.store(builder["scores"], first + lane, score)
            largest = builder.load(self.largest, lane)
            builder.store(self.largest, lane, tirx.Select(score > largest, score, largest))

    def _exponentials(self) -> None:
        """exp(score - largest) in place, and one over the sum of all."""
        builder, wide = self.builder, self.wide
        most = builder.local(1)
        builder.store(most, 0, _f32(-math.inf))
        for lane in range(wide):
            one, other = builder.load(most, 0), builder.load(self.largest, lane)
            builder.store(most, 0, tirx.Select(other > one, other, one))
        largest = builder.let(builder.load(most, 0))
        # All scores may be -inf: exp(-inf - 0) is 0 where -inf - -inf is NaN.
        base = builder.let(tirx.Select(largest == _f32(-math.inf), _f32(0.0), largest))
        totals = builder.local(wide)
        with builder.vector(wide) as lane:
            builder.store(totals, lane, _f32(0.0))
        groups = ceildiv(self.form.keys, wide)
        with builder.loop(groups, "group") as group, builder.vector(wide) as lane:
            at = group * wide + lane
            gap = builder.keep(builder.load(builder["scores"], at) - base)
            value = builder.keep(mathfn.exp_below(gap, builder.let))
            builder.store(builder["scores"], at, value)
            builder.store(totals, lane, builder.load(totals, lane) + value)
        total = builder.local(1)
        builder.store(total, 0, _f32(0.0))
        for lane in range(wide):
            builder.store(total, 0, builder.load(total, 0) + builder.load(totals, lane))
        self.share = builder.let(_f32(1.0) / builder.load(total, 0))

    def _values(self) -> None:
        """The weighted sum of the values, some columns at a time."""
        builder, form, lanes = self.builder, self.form, self.lanes
        values0 = self._start(form.v)
        out0 = builder.let(self._start(form.out) + self.row * form.out.row)
        whole = form.width // lanes * lanes
        step = self.knobs.columns * lanes
        blocks: list[list[tuple[int, int]]] = [
            [(column, lanes) for column in range(first, min(first + step, whole), lanes)]
            for first in range(0, whole, step)
        ]
        blocks += [[part] for part in tail(whole, form.width, lanes)]
        for parts in blocks:
            self._columns(parts, values0, out0)

    def _columns(self, parts: list[tuple[int, int]], values0: Index, out0: Index) -> None:
        builder, form, apart = self.builder, self.form, self.knobs.keys
        first, width = parts[0][0], sum(lanes for _, lanes in parts)
        sums = builder.local(apart * width)

        def at(key: int, column: int, lanes: int) -> Index:
            return vector_index(key * width + column - first, lanes)

        for key in range(apart):
            for column, lanes in parts:
                builder.store(sums, at(key, column, lanes), splat(_f32(0.0), lanes))

        def add(key: Index, row: int) -> None:
            weight = builder.let(builder.load(builder["scores"], key))
            start = builder.let(values0 + key * form.v.row)
            ahead = AHEAD * form.v.row
            ask_for(builder, self._operand(2), start + first, width, ahead, _LEVEL)
            for column, lanes in parts:
                value = builder.load(self._operand(2), vector_index(start + column, lanes))
                index = at(row, column, lanes)
                total = builder.load(sums, index) + splat(weight, lanes) * value
                builder.store(sums, index, total)

        full, rest = divide(form.keys, apart), modulo(form.keys, apart)
        with builder.loop(full, "key") as block:
            for row in range(apart):
                add(builder.let(block * apart + row), row)
        if not isinstance(rest, int) or rest:
            with builder.loop(rest, "rest") as i:
                add(builder.let(full * apart + i), 0)
        for column, lanes in parts:
            total = builder.load(sums, at(0, column, lanes))
            for row in range(1, apart):
                total = total + builder.load(sums, at(row, column, lanes))
            self._store(out0 + column, builder.let(total), lanes)

    def _store(self, index: Index, total: Expr, lanes: int) -> None:
        value = total * splat(self.share, lanes)
        if self.form.empty_is_zero:
            some = splat(self.share, lanes) < splat(_f32(math.inf), lanes)
            value = tirx.Select(some, value, splat(_f32(0.0), lanes))
        self.builder.store(self.builder["out"], vector_index(index, lanes), value)


def _f32(value: float) -> Expr:
    return tirx.const(value, "float32")
