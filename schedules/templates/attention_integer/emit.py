"""Attention of whole numbers: products of 8 bits, and a softmax between them in float32.

A chunk is a block of rows (queries) of one matrix of a batch. It brings keys and values into
scratch as instructions read them (see ``panels``), and then takes a register tile of rows at a
time: products with all keys, the softmax along each row, rounded shares, products with all values.
Neither scores nor shares are ever in memory as a matrix (Dao et al., *FlashAttention*, 2022; as all
keys of a row are in scratch, nothing is rescaled). What stands between these is computed as the
workload says, element by element, so that no rounding is left out.

Knobs: ``rows`` and ``vectors`` (the register tile of either product), ``tiles`` (in a chunk).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ...emit.evaluator import Evaluator, Point
from ...emit.tile import splat, vector_index
from ...ir.dtype import DType
from ...ir.size import Size
from ...tir import mathfn
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, split_index
from ...tir.literals import constant
from ..form import Emitted
from ..radix import Scratch
from ..rows import reduce_row
from ..slots import phase_builder
from .form import IntegerAttention, Knobs
from .panels import FOUR, Panels, Rows, row_terms, shared, signed, unsigned
from .pattern import Operand


def kernel(form: IntegerAttention, knobs: Knobs) -> Emitted:
    """One phase; chunks are (matrix of the batch, block of rows)."""
    return _Attention(form, knobs).build()


class _Attention:
    def __init__(self, form: IntegerAttention, knobs: Knobs) -> None:
        self.form, self.knobs, self.node = form, knobs, form.attention
        self.workload, self.lanes = form.workload, form.lanes
        self.wide = knobs.vectors * form.lanes
        self.micro = form.micro
        self.held = self.micro.steps * form.lanes  # elements of a vector of what all lanes share
        self.query_pitch = ceildiv(self.node.depth, self.held) * self.held
        self.share_pitch = ceildiv(self.node.keys, self.held) * self.held
        unit = self.wide if isinstance(self.node.keys, Size) else form.lanes
        self.key_pitch = ceildiv(self.node.keys, unit) * unit

    def build(self) -> Emitted:
        """The kernel."""
        node, tiles = self.node, ceildiv(self.node.rows, self.knobs.rows)
        scratch = self._scratch()
        self.builder = builder = phase_builder(self.form, {}, scratch.slots)
        self.evaluator = Evaluator(self.workload, builder)
        blocks = ceildiv(tiles, self.knobs.tiles)
        with builder.chunk_loop() as chunk:
            tile0 = builder.let(modulo(chunk, blocks) * self.knobs.tiles)
            self.at = tuple(map(builder.let, split_index(divide(chunk, blocks), node.batch)))
            self._bring()
            count = extent(tile0, self.knobs.tiles, tiles)
            with builder.loop(count, "tile", tile0) as tile:
                for first, rows in builder.block(tile, self.knobs.rows, node.rows):
                    self._tile(builder.let(first), rows)
        return Emitted((builder.finish(self.form.units * blocks),), scratch=scratch.size)

    def _scratch(self) -> Scratch:
        node, rows, micro, scratch = self.node, self.knobs.rows, self.micro, Scratch()
        for name, depth, columns in (
            ("keys", node.depth, node.keys),
            ("values", node.keys, node.width),
        ):
            panels = ceildiv(columns, self.wide) * self.wide
            scratch.add(name, ceildiv(depth, micro.steps) * micro.steps * panels, micro.b.name)
            if micro.steps == FOUR:
                scratch.add(f"{name}_starts", panels, "int32")
        scratch.add("query", rows * self.query_pitch, micro.a.name)
        scratch.add("sums", rows * self.key_pitch, "int32")
        scratch.add("scores", rows * self.key_pitch, "float32")
        scratch.add("shares", rows * self.share_pitch, micro.a.name)
        return scratch

    # Operands.

    def _element(self, operand: Operand) -> DType:
        return self.workload.tensor(operand.input).element

    def _rows_of(self, operand: Operand, first: Index = 0) -> Rows:
        start: Index = first * operand.row
        for place, stride in zip(self.at, operand.batch, strict=True):
            start = start + place * stride
        buffer = self.builder[f"in{operand.input}"]
        return Rows(buffer, self.builder.let(start), operand.row, self._element(operand))

    def _bring(self) -> None:
        """Keys and values into scratch."""
        node = self.node
        share = self.workload.tensor(node.shares.arg).element
        self.keys = self._panels(
            "keys", (node.depth, node.keys), node.k, unsigned(node.q.zero, self._element(node.q))
        )
        self.values = self._panels(
            "values", (node.keys, node.width), node.v, unsigned(node.shares.zero, share)
        )
        self.keys.bring_columns(self._rows_of(node.k))
        self.values.bring_rows(self._rows_of(node.v))

    def _panels(self, name: str, extents: tuple[int, int], operand: Operand, other: int) -> Panels:
        builder, zero, micro, starts = self.builder, operand.zero, self.micro, None
        if micro.steps == FOUR:
            zero, starts = signed(zero, self._element(operand)), builder[f"{name}_starts"]
        buffers = builder[name], starts
        return Panels(builder, *buffers, *extents, self.wide, self.lanes, micro, zero, other)

    # A tile of rows.

    def _tile(self, first: Index, rows: int) -> None:
        self._query(first, rows)
        self._scores(rows)
        self._softmax(first, rows)
        self._sums(first, rows)

    def _query(self, first: Index, rows: int) -> None:
        """Rows of queries, and zeros until their last vectors are full."""
        builder, node = self.builder, self.node
        source = self._rows_of(node.q, first)
        with builder.loop(rows, "row") as row:
            old, new = builder.let(source.start + row * source.stride), row * self.query_pitch
            self._zeros("query", new, node.depth, self.query_pitch)
            for i in builder.strips(node.depth, self.held):
                value = builder.load(source.buffer, old + i)
                value = shared(value, source.element, node.q.zero, self.micro)
                builder.store(builder["query"], new + i, value)

    def _zeros(self, name: str, row: Index, count: int, pitch: int) -> None:
        """The last vector of a row, before so many numbers are written to it."""
        if isinstance(count, int) and count == pitch:
            return
        index = vector_index(row + (pitch - self.held), self.held)
        zeros = splat(constant(0, self.micro.a.name), self.held)
        self.builder.store(self.builder[name], index, zeros)

    def _scores(self, rows: int) -> None:
        """Products with all keys, as whole numbers."""
        builder, node = self.builder, self.node
        terms = self._terms("query", self.query_pitch, rows, self.keys.left)
        with builder.loop(ceildiv(node.keys, self.wide), "panel") as panel:
            for begin, columns in self._panel(panel):
                column0 = builder.let(begin)
                tile = self.keys.multiply(
                    builder["query"], self.query_pitch, rows, column0, columns
                )
                for row in range(rows):
                    for part in range(ceildiv(columns, self.lanes)):
                        at = row * self.key_pitch + column0 + part * self.lanes
                        value = tile.vector(row, part)
                        builder.store(builder["sums"], vector_index(at, self.lanes), value)
        self.terms = terms

    def _panel(self, panel: Index) -> Iterator[tuple[Index, int]]:
        """The first key of a panel, and how many there are: whole panels where that is known only
        at run time."""
        if isinstance(self.node.keys, Size):
            yield panel * self.wide, self.wide
            return
        yield from self.builder.block(panel, self.wide, self.node.keys)

    def _terms(self, name: str, pitch: int, rows: int, zero: int) -> Any | None:
        """What is added to each row's sums, if anything."""
        if not zero:
            return None
        return row_terms(self.builder, self.builder[name], pitch, rows, self.lanes, zero)

    def _with_term(self, value: Expr, terms: Any | None, row: Index) -> Expr:
        return value if terms is None else value + self.builder.load(terms, row)

    def _softmax(self, first: Index, rows: int) -> None:
        """Logits, their exponentials, and shares as they are rounded: one after the other for all
        rows, so that none waits for the end of a row."""
        builder, node, lanes = self.builder, self.node, self.lanes
        scores = builder["scores"]
        largest, scale = builder.local(rows), builder.local(rows)
        reduce = partial(reduce_row, builder, node.keys, lanes)
        with builder.loop(rows, "row") as row:
            logit = partial(self._logit, first, row)
            most = reduce("max_number", "float32", logit)
            builder.store(largest, row, most)
        with builder.loop(rows, "row") as row:
            begin, most = row * self.key_pitch, builder.let(builder.load(largest, row))

            def exponential(column: Index, begin: Index = begin, most: Expr = most) -> Expr:
                gap = builder.keep(builder.load(scores, begin + column) - most)
                value = builder.keep(mathfn.exp_below(gap, builder.let))
                builder.store(scores, begin + column, value)
                return value

            total = reduce("sum", "float32", exponential)
            builder.store(scale, row, constant(1, "float32") / total)
        with builder.loop(rows, "row") as row:
            self._shares(first, row, builder.let(builder.load(scale, row)))

    def _point(self, first: Index, row: Index, column: Index) -> Point:
        """Of a score."""
        node = self.node
        shape = (*node.batch, node.rows, node.keys)
        return Point(shape, (*self.at, first + row, column))

    def _logit(self, first: Index, row: Index, column: Index) -> Expr:
        builder, node, at = self.builder, self.node, row * self.key_pitch + column
        total = builder.load(builder["sums"], at)
        self._bind(node.scores, self._with_term(total, self.terms, row))
        value = self.evaluator.element(node.logits, self._point(first, row, column))
        value = builder.keep(value)
        builder.store(builder["scores"], at, value)
        return value

    def _shares(self, first: Index, row: Index, scale: Expr) -> None:
        builder, node = self.builder, self.node
        element = self.workload.tensor(node.shares.arg).element
        old, new = row * self.key_pitch, builder.let(row * self.share_pitch)
        self._zeros("shares", new, node.keys, self.share_pitch)
        for column in builder.strips(node.keys, self.lanes):
            self._bind(node.softmax, builder.load(builder["scores"], old + column) * scale)
            point = self._point(first, row, column)
            value = self.evaluator.element(node.shares.arg, point)
            value = shared(value, element, node.shares.zero, self.micro)
            builder.store(builder["shares"], new + column, value)

    def _bind(self, value: int, element: Expr) -> None:
        self.evaluator.bind(value, lambda point: element)

    def _sums(self, first: Index, rows: int) -> None:
        """Products with all values, and what is made of them."""
        builder, node = self.builder, self.node
        terms = self._terms("shares", self.share_pitch, rows, self.values.left)
        shape = (*node.batch, node.rows, node.width)
        with builder.loop(ceildiv(node.width, self.wide), "panel") as panel:
            for begin, columns in builder.block(panel, self.wide, node.width):
                column0 = builder.let(begin)
                tile = self.values.multiply(
                    builder["shares"], self.share_pitch, rows, column0, columns
                )

                def store(row: int, column: Index, value: Expr, column0: Index = column0) -> None:
                    place = (*self.at, first + row, column0 + column)
                    self._bind(node.sums, self._with_term(value, terms, row))
                    result = self.evaluator.element(node.result, Point(shape, place))
                    index = sum(i * stride for i, stride in zip(place, node.out, strict=True))
                    builder.store(builder["out"], index, result)

                tile.finish_rows(columns, store, FOUR * self.lanes)
