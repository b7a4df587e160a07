"""Fused attention whose products are of bfloat16, with sums and softmax in float32.

As ``attention``, but a chunk rounds what it multiplies: the scaled query and the exponentials, in
pairs of neighbours along the depth, by rows; each block's keys, as they lie, and its values in
pairs of keys. Exponentials are added up before they are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ...emit.bfloat16 import (
    BITS,
    PAIRS,
    load_column_pairs,
    load_some,
    mixed_pair,
    narrow_run,
    zeros,
)
from ...emit.lanes import Rows
from ...emit.tile import RegisterTile, splat, vector_index
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv
from ...tvm_late import tirx
from ..attention.emit import AttentionNest, Finish
from ..attention.form import Knobs
from ..form import Emitted
from .form import Bfloat16Attention


def kernel(form: Bfloat16Attention, knobs: Knobs) -> Emitted:
    """One phase; chunks are (batch, head, block of rows)."""
    return _Bfloat16Nest(form, knobs).build()


class _Bfloat16Nest(AttentionNest):
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
            "keys": keys * self._depth,
            "values": keys * self._width,
        }
        floats = {"scores": self.keys * self.block, "sum": self.form.width * self.block}
        return {
            **{name: Tensor((size,), BITS.name) for name, size in bits.items()},
            **{name: Tensor((size,)) for name, size in floats.items()},
        }

    def _load_query(self, first: Index, rows: Index) -> None:
        builder, form = self.builder, self.form
        start = builder.let(self._start(form.q) + first * form.q.row)
        scale = splat(tirx.const(form.scale, "float32"), self.lanes)
        for part, _ in self.parts:
            at, count = start + part * form.q.row, self._count(rows, part)
            square = Rows(self._operand(0), at, form.q.row, count, form.depth)
            keep = partial(self._keep, "query", part)
            load_column_pairs(builder, square, keep, lambda vector: vector * scale)

    def _keep(self, name: str, part: int, pair: Index, low: Expr, high: Expr) -> None:
        """Of some rows two neighbours along the depth."""
        place = vector_index((pair * self.block + part) * 2, 2 * self.lanes)
        self.builder.store(self.builder[name], place, mixed_pair(self.builder, low, high))

    def _multiply_keys(self, keys: Index, key0: Index, finish: Finish) -> None:
        builder, form = self.builder, self.form
        with builder.loop(keys, "s") as s:
            source = self._operand(1), builder.let(key0 + s * form.k.row)
            begin = builder.let(s * self._depth)
            narrow_run(builder, source, (builder["keys"], begin), form.depth)
            if form.depth % 2:
                builder.store(builder["keys"], begin + form.depth, tirx.const(0, BITS.name))
        self._pairs(
            keys,
            self._depth // 2,
            lambda first, pair: (builder["keys"], first * self._depth + pair * 2, self._depth),
            builder["query"],
            finish,
        )

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
                high = load_some(builder, source, begin + form.v.row, count) if both else zeros()
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
