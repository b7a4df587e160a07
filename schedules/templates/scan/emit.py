"""Sums and products of all elements up to each place along an axis.

Where the axis is not the last one, vectors of neighbouring columns go down it. A row is taken some
vectors at a time: within each the elements are added up in as many steps as their number has binary
digits (Hillis and Steele, *Data Parallel Algorithms*, 1986), and what comes before is added to all.
Parts of a long row are added up first, each by itself; a second phase begins each with the sum of
those before.

``grain``: input elements in a chunk, whole rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...emit.builder import Slot
from ...emit.tile import vector_index
from ...ir.kernel import Phase
from ...ir.size import Size, at_least
from ...ir.workload import Tensor
from ...tir import arithmetic
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, tail
from ...tir.literals import constant
from ...tvm_late import tirx
from ..by_grain import Grain
from ..form import Emitted
from ..planes import Planes
from ..slots import phase_builder
from .form import VECTORS, Scan


def kernel(form: Scan, knobs: Grain) -> Emitted:
    """One phase, or two with the parts' totals as a temporary."""
    return _Scan(form, knobs.grain).build()


class _Scan:
    def __init__(self, form: Scan, grain: int) -> None:
        self.form, self.grain = form, grain
        self.outer, self.length, self.inner = form.sizes
        self.dtype, self.width, self.parts = form.workload.output.dtype, form.width, form.parts
        multiplies = form.node.op == "cumprod"
        self.combined = arithmetic.multiply if multiplies else arithmetic.add
        self.neutral = constant(1 if multiplies else 0, self.dtype)
        self.exclusive = bool(form.node.attr("exclusive"))
        self.reverse = bool(form.node.attr("reverse"))

    def build(self) -> Emitted:
        """The kernel."""
        if isinstance(self.inner, Size) or self.inner != 1:
            return Emitted((self._columns(),))
        if self.parts == 1:
            return Emitted((self._rows(),))
        totals = Tensor((self.outer, self.parts), self.dtype)
        shared = (Slot(1, "totals", totals),)
        return Emitted((self._totals(shared), self._in_parts(shared)), temps=(totals.nbytes,))

    def _begin(self, shared: tuple[Slot, ...] = ()) -> None:
        self.builder = phase_builder(self.form, {}, shared, temps=len(shared))
        self.x, self.out = self.builder["in0"], self.builder["out"]

    def _along(self, place: Index) -> Index:
        """How far from the row's first element a place is, in the order of adding up."""
        return self.length - 1 - place if self.reverse else place

    # Down columns.

    def _columns(self) -> Phase:
        self._begin()
        open_ = isinstance(self.inner, Size)
        wide = self.form.lanes if open_ else VECTORS * self.form.lanes
        planes = Planes(self.outer, self.length, self.inner, wide, self.grain)
        with self.builder.chunk_loop() as chunk:
            for plane, begin, columns in planes.strips(self.builder, chunk):
                first = self.builder.let(plane * (self.length * self.inner) + begin)
                self._strip(first, tail(0, columns, self.form.lanes))
        return self.builder.finish(planes.chunks)

    def _strip(self, first: Index, parts: list[tuple[int, int]]) -> None:
        builder = self.builder
        total = builder.local(sum(lanes for _, lanes in parts), self.dtype)
        for offset, lanes in parts:
            with builder.vector(lanes) as lane:
                builder.store(total, offset + lane, self.neutral)
        with builder.loop(self.length, "place") as place:
            row = builder.let(first + self._along(place) * self.inner)
            for offset, lanes in parts:
                with builder.vector(lanes) as lane:
                    self._add(total, offset + lane, row + offset + lane)

    def _add(self, total: Any, slot: Index, at: Index) -> None:
        """One more element."""
        builder = self.builder
        before, element = builder.load(total, slot), builder.load(self.x, at)
        after = builder.keep(self.combined(before, element, builder.let))
        if self.exclusive:
            builder.store(self.out, at, before)
        builder.store(total, slot, after)
        if not self.exclusive:
            builder.store(self.out, at, after)

    # Along rows.

    def _rows(self) -> Phase:
        self._begin()
        builder, group = self.builder, at_least(self.grain // at_least(self.length, 1), 1)
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * group)
            with builder.loop(extent(first, group, self.outer), "row", first) as row:
                total = builder.local(1, self.dtype)
                builder.store(total, 0, self.neutral)
                self._row(builder.let(row * self.length), 0, self.length, total)
        return builder.finish(ceildiv(self.outer, group))

    def _row(self, base: Index, begin: Index, count: int, total: Any) -> None:
        """``count`` places from ``begin`` on, after what is in ``total``."""
        builder, width = self.builder, self.width
        step = VECTORS * width
        with builder.loop(count // step, "step") as number:
            start = builder.let(begin + number * step)
            scanned = [self._scanned(base, start + v * width) for v in range(VECTORS)]
            for v, vector in enumerate(scanned):
                self._finish(base, start + v * width, vector, total)
        with builder.loop(count % step // width, "vector") as number:
            start = builder.let(begin + count // step * step + number * width)
            self._finish(base, start, self._scanned(base, start), total)
        with builder.loop(count % width, "place", begin + count // width * width) as place:
            self._add(total, 0, builder.let(base + self._along(place)))

    def _vector(self, base: Index, start: Index) -> Index:
        """Where the lowest of a vector's elements lies."""
        first = self.length - self.width - start if self.reverse else start
        return vector_index(base + first, self.width)

    def _turned(self, vector: Expr) -> Expr:
        """In the order of adding up, or back."""
        return self._shuffled([vector], range(self.width)[::-1]) if self.reverse else vector

    def _shuffled(self, vectors: list[Expr], order: Any) -> Expr:
        return tirx.Shuffle(vectors, [tirx.const(i, "int32") for i in order])

    def _scanned(self, base: Index, start: Index) -> Any:
        """A vector's own sums, from its first element on, in a local array."""
        builder, width = self.builder, self.width
        sums = builder.local(width, self.dtype)
        whole = vector_index(0, width)
        loaded = builder.let(builder.load(self.x, self._vector(base, start)))
        builder.store(sums, whole, self._turned(loaded))
        by = 1
        while by < width:
            moved = self._moved(sums, by)
            with builder.vector(width) as lane:
                earlier, own = builder.load(moved, lane), builder.load(sums, lane)
                builder.store(sums, lane, self.combined(earlier, own, builder.let))
            by *= 2
        return sums

    def _moved(self, sums: Any, by: int) -> Any:
        """The vector moved up by some lanes."""
        builder, width = self.builder, self.width
        moved, whole = builder.local(width, self.dtype), vector_index(0, width)
        lowest = tirx.Broadcast(self.neutral, width) if width > 1 else self.neutral
        vector = builder.let(builder.load(sums, whole))
        order = [i if i < by else width + i - by for i in range(width)]
        builder.store(moved, whole, self._shuffled([lowest, vector], order))
        return moved

    def _finish(self, base: Index, start: Index, sums: Any, total: Any) -> None:
        """Write a vector's results, and take its sum into the total."""
        builder, width = self.builder, self.width
        last = builder.let(builder.load(sums, width - 1))
        own = self._moved(sums, 1) if self.exclusive else sums
        results = builder.local(width, self.dtype)
        with builder.vector(width) as lane:
            result = self.combined(builder.load(total, 0), builder.load(own, lane), builder.let)
            builder.store(results, lane, result)
        vector = builder.let(builder.load(results, vector_index(0, width)))
        builder.store(self.out, self._vector(base, start), self._turned(vector))
        builder.store(total, 0, self.combined(builder.load(total, 0), last, builder.let))

    # Parts of rows.

    def _of_parts(self, body: Callable[[Index, Index, Index, int], None]) -> Phase:
        """Chunks are parts: ``body`` gets the row's first element, the part's number and first
        place, and how many places it has."""
        builder, part = self.builder, self.form.part
        with builder.chunk_loop() as chunk:
            number = builder.let(modulo(chunk, self.parts))
            base = builder.let(divide(chunk, self.parts) * self.length)
            for _, count in builder.block(number, part, self.length):
                body(base, chunk, builder.let(number * part), count)
        return builder.finish(self.outer * self.parts)

    def _totals(self, shared: tuple[Slot, ...]) -> Phase:
        self._begin(shared)
        builder, width = self.builder, self.width

        def body(base: Index, chunk: Index, begin: Index, count: int) -> None:
            start = begin if not self.reverse else self.length - begin - count
            sums = builder.local(VECTORS * width, self.dtype)
            for v in range(VECTORS):
                with builder.vector(width) as lane:
                    builder.store(sums, v * width + lane, self.neutral)
            first, step = builder.let(base + start), VECTORS * width

            def take(slot: Index, at: Index) -> None:
                more, old = builder.load(self.x, at), builder.load(sums, slot)
                builder.store(sums, slot, self.combined(old, more, builder.let))

            with builder.loop(count // step, "step") as number:
                for v in range(VECTORS):
                    with builder.vector(width) as lane:
                        take(v * width + lane, first + number * step + v * width + lane)
            with builder.loop(count % step, "place", count // step * step) as place:
                take(0, first + place)
            total = builder.local(1, self.dtype)
            builder.store(total, 0, self.neutral)
            with builder.loop(step, "slot") as slot:
                more, old = builder.load(sums, slot), builder.load(total, 0)
                builder.store(total, 0, self.combined(old, more, builder.let))
            builder.store(builder["totals"], chunk, builder.load(total, 0))

        return self._of_parts(body)

    def _in_parts(self, shared: tuple[Slot, ...]) -> Phase:
        self._begin(shared)
        builder = self.builder

        def body(base: Index, chunk: Index, begin: Index, count: int) -> None:
            total = builder.local(1, self.dtype)
            builder.store(total, 0, self.neutral)
            number = modulo(chunk, self.parts)
            with builder.loop(number, "part", chunk - number) as part:
                more, old = builder.load(builder["totals"], part), builder.load(total, 0)
                builder.store(total, 0, self.combined(old, more, builder.let))
            self._row(base, begin, count, total)

        return self._of_parts(body)
