"""Fused attention whose products are of bfloat16, with sums and softmax in float32.

As ``attention``, but a chunk rounds what it multiplies: the scaled query and the exponentials, in
pairs of neighbours along the depth, by rows; each block's keys, as they lie, and its values in
pairs of keys. Exponentials are added up before they are rounded. Keys that memory holds in bfloat16
are read where they lie, and scores of such a query are scaled in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ...emit.bfloat16 import (
    BITS,
    PAIRS,
    as_bits,
    load_column_pairs,
    load_pairs,
    load_some,
    mixed_pair,
    narrow_run,
    narrowed,
    zeros,
)
from ...emit.lanes import Rows, load_columns
from ...emit.tile import RegisterTile, splat, vector_index
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide
from ...tvm_late import tirx
from ..attention.emit import AttentionNest, Finish
from ..rounding import BFLOAT16


class Bfloat16Nest(AttentionNest):
    """By vectors, in pairs."""

    @property
    def _depth(self) -> int:
        """Of a key in whole pairs."""
        return ceildiv(self.form.depth, 2) * 2

    @property
    def _width(self) -> int:
        """Of a value in whole vectors."""
        return ceildiv(self.form.width, self.lanes) * self.lanes

    def _buffers(self) -> Mapping[str, Tensor]:
        keys = ceildiv(self.keys, 2) * 2
        bits = {
            "query": self._depth * self.block,
            "shares": keys * self.block,
            **({} if self._is_short(1) else {"keys": keys * self._depth}),
            "values": keys * self._width,
        }
        floats = {"scores": self.keys * self.block, "sum": self.form.width * self.block}
        return {
            **{name: Tensor((size,), BITS.name) for name, size in bits.items()},
            **{name: Tensor((size,)) for name, size in floats.items()},
        }

    def _is_short(self, position: int) -> bool:
        """Whether an operand lies in memory as bfloat16."""
        return self.whole.workload.tensor(self.args[position]).element == BFLOAT16

    def _scaled(self, score: Expr) -> Expr:
        """A query that is rounded already is not rounded once more."""
        return score * _f32(self.form.scale) if self._is_short(0) else score

    def _masked(
        self, score: Expr, first: Index, rows: Index, key: Index, column: int, lane: Index
    ) -> Expr:
        return super()._masked(self._scaled(score), first, rows, key, column, lane)

    def _load_query(self, first: Index, rows: Index) -> None:
        builder, form = self.builder, self.form
        if self._is_short(0):
            self._move_query(first, rows)
            return
        start = builder.let(self._start(form.q) + first * form.q.row)
        scale = splat(tirx.const(form.scale, "float32"), self.lanes)
        for part, _ in self.parts:
            at, count = start + part * form.q.row, self._count(rows, part)
            square = Rows(self._operand(0), at, form.q.row, count, form.depth)
            keep = partial(self._keep, "query", part)
            load_column_pairs(builder, square, keep, lambda vector: vector * scale)

    def _move_query(self, first: Index, rows: Index) -> None:
        """The block of q, transposed to [pairs of the depth][rows]."""
        builder, view, lanes = self.builder, self.form.q, self.lanes
        start = builder.let(self._start(view) + first * view.row)
        for part, _ in self.parts:
            begin = builder.let(divide(start + part * view.row, 2))
            count, pairs = self._count(rows, part), self.form.depth // 2
            square = Rows(self._operand(0), begin, view.row // 2, count, pairs)

            def keep(pair: Index, vector: Expr, part: int = part) -> None:
                place = vector_index((pair * self.block + part) * 2, 2 * lanes)
                builder.store(builder["query"], place, as_bits(vector, lanes))

            load_columns(builder, square, lanes, keep, partial(load_pairs, builder))

    def _keep(self, name: str, part: int, pair: Index, low: Expr, high: Expr) -> None:
        """Of some rows two neighbours along the depth."""
        place = vector_index((pair * self.block + part) * 2, 2 * self.lanes)
        self.builder.store(self.builder[name], place, mixed_pair(self.builder, low, high))

    def _multiply_keys(self, keys: Index, key0: Index, finish: Finish) -> None:
        builder, form = self.builder, self.form
        if self._is_short(1):
            source, begin, row = self._operand(1), key0, form.k.row
        else:
            self._round_keys(keys, key0)
            source, begin, row = builder["keys"], 0, self._depth
        self._pairs(
            keys,
            self._depth // 2,
            lambda first, pair: (source, begin + first * row + pair * 2, row),
            builder["query"],
            finish,
        )

    def _round_keys(self, keys: Index, key0: Index) -> None:
        """A block of keys into scratch."""
        builder, form = self.builder, self.form
        with builder.loop(keys, "s") as s:
            source = self._operand(1), builder.let(key0 + s * form.k.row)
            begin = builder.let(s * self._depth)
            narrow_run(builder, source, (builder["keys"], begin), form.depth)
            if form.depth % 2:
                builder.store(builder["keys"], begin + form.depth, tirx.const(0, BITS.name))

    def _exponentials(self, keys: Index) -> None:
        super()._exponentials(keys)
        builder, scores = self.builder, self.builder["scores"]

        def pair(number: Index, both: bool) -> None:
            for part, lanes in self.parts:
                at = number * 2 * self.block + part
                low = builder.let(builder.load(scores, vector_index(at, lanes)))
                high = zeros()
                if both:
                    high = builder.let(builder.load(scores, vector_index(at + self.block, lanes)))
                self._keep("shares", part, number, low, high)

        self._each_pair(keys, pair)

    def _multiply_values(self, keys: Index, value0: Index, finish: Finish) -> None:
        builder, form, lanes = self.builder, self.form, self.lanes
        source, target = self._operand(2), builder["values"]

        def pair(number: Index, both: bool) -> None:
            for column in range(0, form.width, lanes):
                count = min(lanes, form.width - column)
                begin = builder.let(value0 + number * 2 * form.v.row + column)
                low = load_some(builder, source, begin, count)
                high = zeros(source.dtype)
                if both:
                    high = load_some(builder, source, begin + form.v.row, count)
                place = vector_index((number * self._width + column) * 2, 2 * lanes)
                builder.store(target, place, mixed_pair(builder, low, high))

        self._each_pair(keys, pair)
        self._pairs(
            form.width,
            ceildiv(keys, 2),
            lambda first, pair: (target, (pair * self._width + first) * 2, 2),
            builder["shares"],
            finish,
        )

    def _stored(self, value: Expr, lanes: int) -> Expr:
        if self.whole.workload.output.element != BFLOAT16:
            return value
        return narrowed(self.builder, value, lanes)

    def _each_pair(self, keys: Index, pair: Callable[[Index, bool], None]) -> None:
        """Of keys; the last may be alone."""
        assert isinstance(keys, int)
        if keys > 1:
            with self.builder.loop(keys // 2, "pair") as number:
                pair(number, True)
        if keys % 2:
            pair(keys // 2, False)

    def _pairs(
        self,
        extent: Index,
        depth: Index,
        shared: Callable[[Index, Index], tuple[Any, Index, Index]],
        matrix: Any,
        finish: Finish,
    ) -> None:
        """Products [extent, pairs] times [pairs, rows] in register tiles."""
        builder = self.builder
        for begin, count in builder.pieces(extent, self.tile, "tile"):
            first = builder.let(begin)
            register = RegisterTile(builder, count, self.parts, PAIRS)
            with builder.loop(depth, "k") as k:
                PAIRS.step(register, shared(first, k), (matrix, k * self.block * 2))
            finish(first, register, count)


def _f32(value: float) -> Expr:
    return tirx.const(value, "float32")
