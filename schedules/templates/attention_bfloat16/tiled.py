"""The same by whole tiles (see ``emit/whole_tiles``).

A tile of keys, as they lie, is multiplied with the query in pairs; then one of columns of the
values with the shares in pairs. So sums are as with vectors: neighbouring rows are lanes, and the
softmax stays inside them. Values are transposed for it, columns of a block of keys as rows. What
fills the last tile along the depth is 0 on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ...emit.bfloat16 import (
    BITS,
    LANES,
    bfloat16_product,
    bring_run,
    narrowed,
    widened,
    zeros,
)
from ...emit.lanes import Rows, load_columns
from ...emit.tile import RegisterTile, splat, vector_index
from ...ir.workload import Tensor
from ...tir import mathfn
from ...tir.indices import Expr, Index, ceildiv
from ...tvm_late import tirx
from ..attention.emit import Finish
from ..attention.form import Knobs
from .form import STEP, Bfloat16Attention
from .nest import Bfloat16Nest


class TiledNest(Bfloat16Nest):
    """Steps of both products are of a full tile's depth, so that tiles are set once for both."""

    def __init__(self, form: Bfloat16Attention, knobs: Knobs) -> None:
        super().__init__(form, knobs)
        self.micro = bfloat16_product("tiles", STEP)

    @property
    def _depth(self) -> int:
        """Of a key in whole steps."""
        return ceildiv(self.form.depth, STEP) * STEP

    @property
    def _along(self) -> int:
        """Keys of a block in whole steps."""
        return ceildiv(self.keys, STEP) * STEP

    @property
    def _in_place(self) -> bool:
        """Whether keys are read where they lie."""
        return self._is_short(1) and self.form.depth % STEP == 0

    def _buffers(self) -> Mapping[str, Tensor]:
        bits = {
            "query": self._depth * self.block,
            "shares": self._along * self.block,
            **({} if self._in_place else {"keys": self.keys * self._depth}),
            "values": self.form.width * self._along,
        }
        floats = {"scores": self.keys * self.block, "sum": self.form.width * self.block}
        return {
            **{name: Tensor((size,), BITS.name) for name, size in bits.items()},
            **{name: Tensor((size,)) for name, size in floats.items()},
        }

    @contextmanager
    def _all_chunks(self) -> Iterator[Expr]:
        with (
            self.micro.registers(self.builder, self.block) as self.register,
            super()._all_chunks() as chunk,
        ):
            yield chunk

    def _load_query(self, first: Index, rows: Index) -> None:
        super()._load_query(first, rows)
        self._fill_pairs("query", ceildiv(self.form.depth, 2), self._depth // 2)

    def _fill_pairs(self, name: str, first: int, end: int) -> None:
        """Zeros in these pairs of a buffer."""
        for pair in range(first, end):
            for part, _ in self.parts:
                self._keep(name, part, pair, zeros(), zeros())

    def _multiply_keys(self, keys: Index, key0: Index, finish: Finish) -> None:
        builder, form = self.builder, self.form
        source, begin, row = self._operand(1), key0, form.k.row
        if not self._in_place:
            self._round_keys(keys, key0)
            source, begin, row = builder["keys"], 0, self._depth

        def shared(first: Index, step: Index) -> tuple[Any, Index, Index]:
            return source, begin + first * row + step * STEP, row

        self._steps(keys, self._depth // STEP, shared, "query", finish)

    def _round_keys(self, keys: Index, key0: Index) -> None:
        builder, form = self.builder, self.form
        with builder.loop(keys, "s") as s:
            source = self._operand(1), builder.let(key0 + s * form.k.row)
            begin = builder.let(s * self._depth)
            bring_run(builder, source, (builder["keys"], begin), form.depth)
            for i in range(form.depth, self._depth):
                builder.store(builder["keys"], begin + i, tirx.const(0, BITS.name))

    def _steps(
        self,
        extent: Index,
        steps: int,
        shared: Callable[[Index, Index], tuple[Any, Index, Index]],
        name: str,
        finish: Finish,
    ) -> None:
        """Products [extent, steps] times [steps, rows]."""
        builder, micro = self.builder, self.micro
        each = micro.units(self.block * micro.groups)
        for begin, count in builder.pieces(extent, self.tile, "tile"):
            first = builder.let(begin)
            register = self.register(count, self.parts)
            with builder.loop(steps, "step") as step:
                micro.step(register, shared(first, step), (builder[name], step * each))
            finish(first, register, count)

    def _keep_score(self, first: Index, rows: Index, start: Index) -> Finish:
        builder = self.builder

        def finish(begin: Index, register: RegisterTile, count: int) -> None:
            for row in register.each_row():
                key = builder.let(begin + row)
                for part, (column, lanes) in enumerate(self.parts):
                    with builder.vector(lanes) as lane:
                        score = register.element(row, lane, part)
                        score = self._masked(score, first, rows, start + key, column, lane)
                        score = builder.keep(score)
                        at = key * self.block + column + lane
                        builder.store(builder["scores"], at, score)
                        largest = builder.load(self.largest, column + lane)
                        largest = tirx.Select(score > largest, score, largest)
                        builder.store(self.largest, column + lane, largest)

        return finish

    def _exponentials(self, keys: Index) -> None:
        """Shares in pairs of keys, rounded once they are added up."""
        assert isinstance(keys, int)
        self._each_pair(keys, self._share)
        self._fill_pairs("shares", ceildiv(keys, 2), ceildiv(keys, STEP) * STEP // 2)

    def _share(self, pair: Index, both: bool) -> None:
        builder = self.builder
        for column, lanes in self.parts:
            at = builder.let(pair * 2 * self.block + column)
            held = builder.local(2 * lanes)
            builder.store(held, vector_index(lanes, lanes), zeros())
            with builder.vector(lanes) as lane:
                base = builder.load(self.base, column + lane)
                total = builder.load(self.total, column + lane)
                for i in range(1 + both):
                    score = builder.load(builder["scores"], at + i * self.block + lane)
                    value = builder.keep(mathfn.exp_below(score - base, builder.let))
                    builder.store(held, i * lanes + lane, value)
                    total = total + value
                builder.store(self.total, column + lane, total)
            low, high = (builder.load(held, vector_index(i * lanes, lanes)) for i in (0, 1))
            self._keep("shares", column, pair, low, high)

    def _multiply_values(self, keys: Index, value0: Index, finish: Finish) -> None:
        assert isinstance(keys, int)
        builder, form, pitch = self.builder, self.form, self._along
        load = partial(widened, builder) if self._is_short(2) else None
        for begin, count in builder.pieces(keys, LANES, "keys"):
            first = builder.let(begin)
            start = builder.let(value0 + first * form.v.row)
            rows = Rows(self._operand(2), start, form.v.row, count, form.width)

            def keep(column: Index, vector: Expr, first: Index = first) -> None:
                place = vector_index(column * pitch + first, LANES)
                builder.store(builder["values"], place, narrowed(builder, vector, LANES))

            load_columns(builder, rows, LANES, keep, load)
        whole, end = ceildiv(keys, LANES) * LANES, ceildiv(keys, STEP) * STEP
        if whole < end:
            with builder.loop(form.width, "e") as e:
                place = vector_index(e * pitch + whole, LANES)
                builder.store(builder["values"], place, splat(tirx.const(0, BITS.name), LANES))

        def shared(first: Index, step: Index) -> tuple[Any, Index, Index]:
            return builder["values"], first * pitch + step * STEP, pitch

        self._steps(form.width, ceildiv(keys, STEP), shared, "shares", finish)

    def _add_values(self, start: Index, only: bool) -> Finish:
        builder = self.builder

        def finish(begin: Index, register: RegisterTile, count: int) -> None:
            for row in register.each_row():
                first = builder.let((begin + row) * self.block)
                for part, (column, lanes) in enumerate(self.parts):
                    with builder.vector(lanes) as lane:
                        value = register.element(row, lane, part)
                        at = first + column + lane
                        if not only:
                            scaled = builder.load(builder["sum"], at)
                            scaled = scaled * builder.load(self.shrink, column + lane)
                            zero = tirx.const(0.0, "float32")
                            value = value + tirx.Select(start == 0, zero, scaled)
                        builder.store(builder["sum"], at, value)

        return finish
