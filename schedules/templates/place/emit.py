"""Where along an axis the largest or smallest element is, the first or the last one of equals.

A lane keeps the best element so far and its place. Lanes are neighbouring columns where the axis is
not the last one, else places of a row side by side; of short rows as many as lanes are finished
together, and of rows shorter than a vector the lanes are rows. NaN is beyond all numbers. Parts of
a long row find a best one each, of which a second phase chooses.

Knobs: ``grain``, input elements in a chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...emit.builder import Slot
from ...emit.evaluator import Evaluator, Point
from ...ir.kernel import Phase
from ...ir.size import Size, at_least
from ...ir.workload import Tensor
from ...tir.compare import is_number, less, less_equal
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, tail
from ...tir.literals import constant, storage
from ...tvm_late import tirx
from ..by_grain import Grain
from ..form import Emitted
from ..planes import Planes
from ..rows import turned
from ..slots import phase_builder
from .form import Place

_VECTORS = 4  # side by side,
_LONG = 32  # in rows of so many at least


def kernel(form: Place, knobs: Grain) -> Emitted:
    """One phase, or two with each part's best one as temporaries."""
    return _Place(form, knobs).build()


class _Place:
    def __init__(self, form: Place, knobs: Grain) -> None:
        self.form, self.workload, self.node = form, form.workload, form.node
        self.grain, self.lanes = knobs.grain, form.lanes
        self.source = self.workload.tensor(self.node.args[0])
        self.outer, self.length, self.inner = form.sizes
        self.largest, self.last = self.node.op == "argmax", bool(self.node.attr("last"))
        self.is_float = self.source.element.is_float
        half = self.source.dtype == "float16"
        self.dtype = "float32" if half else storage(self.source.dtype)
        self.parts = form.parts

    def build(self) -> Emitted:
        """The kernel."""
        if self.parts == 1:
            return Emitted((self._whole(),))
        first, shape = len(self.workload.inputs), (self.outer, self.parts)
        tensors = Tensor(shape, self.dtype), Tensor(shape, "int32")
        shared = (Slot(first, "bests", tensors[0]), Slot(first + 1, "places", tensors[1]))
        phases = (self._partial(shared), self._chosen_part(shared))
        return Emitted(phases, temps=tuple(t.nbytes for t in tensors))

    def _begin(self, shared: tuple[Slot, ...] = ()) -> None:
        self.builder = phase_builder(self.form, {}, shared, temps=len(shared))
        anchor = len(self.workload.inputs) + self.form.where
        self.evaluator = Evaluator(self.workload, self.builder, anchor)

    def _input(self, flat: Index) -> Expr:
        x = self.evaluator.element(self.node.args[0], Point(self.source.shape, flat=flat))
        x = tirx.Cast("float32", x) if self.source.dtype == "float16" else x
        return self.builder.let(x)

    def _give(self, row: Index, place: Expr) -> None:
        self.evaluator.store(Point(self.node.out.shape, flat=row), place)

    # Which of two is better.

    def _better(self, old: Expr, new: Expr, keep: Expr, take: Expr) -> Expr:
        """``take`` where ``new``, which comes later, is to be chosen, else ``keep``."""
        beyond = (new, old) if self.largest else (old, new)
        stays = less(*beyond) if self.last else less_equal(*beyond)
        chosen = tirx.Select(stays, keep, take)
        if not self.is_float:
            return chosen
        chosen = tirx.Select(is_number(old), chosen, keep)
        return tirx.Select(is_number(new), chosen, take) if self.last else chosen

    def _either(self, bests: tuple[Expr, Expr], places: tuple[Expr, Expr]) -> Any:
        """Chooses of two values by which of two elements in any order is better."""
        (a, b), (at_a, at_b) = bests, places
        earlier = at_b < at_a if not self.last else at_a < at_b
        lower, higher = (a, b) if self.largest else (b, a)

        def of(first: Expr, second: Expr) -> Expr:
            equal = tirx.Select(earlier, second, first)
            chosen = tirx.Select(less(higher, lower), first, equal)
            chosen = tirx.Select(less(lower, higher), second, chosen)
            if not self.is_float:
                return chosen
            against = tirx.Select(is_number(b), chosen, second)
            return tirx.Select(is_number(a), against, tirx.Select(is_number(b), first, equal))

        return of

    def _local(self, count: int) -> tuple[Any, Any]:
        return self.builder.local(count, self.dtype), self.builder.local(count, "int32")

    def _put(self, held: tuple[Any, Any], slot: Index, x: Expr, place: Index) -> None:
        place = constant(place, "int32") if isinstance(place, int) else place
        self.builder.store(held[1], slot, place)
        self.builder.store(held[0], slot, x)

    def _try(self, held: tuple[Any, Any], slot: Index, x: Expr, place: Index) -> None:
        """Keep the element where it is better."""
        place = constant(place, "int32") if isinstance(place, int) else place
        best, at = (self.builder.load(buffer, slot) for buffer in held)
        self.builder.store(held[1], slot, self._better(best, x, at, place))
        self.builder.store(held[0], slot, self._better(best, x, best, x))

    def _fold(self, held: tuple[Any, Any], slot: Index, other: Index) -> None:
        """Keep the better one of two slots in the first one."""
        load = self.builder.load
        bests = load(held[0], slot), load(held[0], other)
        places = load(held[1], slot), load(held[1], other)
        choose = self._either(bests, places)
        both = self.builder.keep(choose(*places)), self.builder.keep(choose(*bests))
        self.builder.store(held[1], slot, both[0])
        self.builder.store(held[0], slot, both[1])

    # Kernels.

    def _whole(self) -> Phase:
        self._begin()
        if self.inner != 1 or isinstance(self.inner, Size):
            return self._columns()
        fixed = not isinstance(self.length, Size) and not isinstance(self.outer, Size)
        together = fixed and self.outer >= self.lanes
        return self._rows(together)

    def _columns(self) -> Phase:
        builder = self.builder
        wide = self.lanes if isinstance(self.inner, Size) else _VECTORS * self.lanes
        planes = Planes(self.outer, self.length, self.inner, wide, self.grain)
        with builder.chunk_loop() as chunk:
            for plane, begin, width in planes.strips(builder, chunk):
                self._strip(plane, begin, tail(0, width, self.lanes))
        return builder.finish(planes.chunks)

    def _strip(self, plane: Index, begin: Index, parts: list[tuple[int, int]]) -> None:
        builder, inner = self.builder, self.inner
        first = builder.let(plane * (self.length * inner) + begin)
        held = self._down(parts, lambda a, column: first + a * inner + column)
        result = builder.let(plane * inner + begin)
        for offset, lanes in parts:
            with builder.vector(lanes) as lane:
                column = offset + lane
                self._give(result + column, builder.load(held[1], column))

    def _down(
        self, parts: list[tuple[int, int]], flat: Callable[[Index, Index], Index]
    ) -> tuple[Any, Any]:
        """The best ones of neighbouring lanes; ``flat`` is of a step and a lane."""
        builder = self.builder
        held = self._local(sum(lanes for _, lanes in parts))

        def step(place: Index, keep: Callable[..., None]) -> None:
            for offset, lanes in parts:
                with builder.vector(lanes) as lane:
                    keep(held, offset + lane, self._input(flat(place, offset + lane)), place)

        step(0, self._put)
        if isinstance(self.length, Size) or self.length > 1:
            with builder.loop(self.length - 1, "a", 1) as a:
                step(a, self._try)
        return held

    def _rows(self, together: bool) -> Phase:
        builder, lanes = self.builder, self.lanes
        group = at_least(self.grain // at_least(self.length, 1), 1)
        if together:
            group = min(ceildiv(group, lanes) * lanes, self.outer)
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * group)
            count = extent(first, group, self.outer)
            if together:
                with builder.loop(divide(count + (lanes - 1), lanes), "rows") as block:
                    begin = tirx.min(first + block * lanes, self.outer - lanes)
                    self._rows_together(builder.let(begin))  # the last ones may be done twice
            else:
                with builder.loop(count, "row", first) as row:
                    base = builder.let(row * self.length)
                    held = self._in_one(base, self.length)
                    self._give(row, builder.load(held[1], 0))
        return builder.finish(ceildiv(self.outer, group))

    def _rows_together(self, first: Index) -> None:
        """As many rows as lanes."""
        builder, lanes, length = self.builder, self.lanes, self.length
        start = builder.let(first * length)
        if length < lanes:
            held = self._down([(0, lanes)], lambda a, row: start + row * length + a)
        else:
            squares = self._local(lanes * lanes)
            with builder.loop(lanes, "row") as row:
                one, _ = self._along(builder.let(start + row * length), length)
                with builder.vector(lanes) as lane:
                    for square, buffer in zip(squares, one, strict=True):
                        value = builder.load(buffer, lane)
                        builder.store(square, row * lanes + lane, value)
            held = (
                turned(builder, squares[0], lanes, self.dtype),
                turned(builder, squares[1], lanes, "int32"),
            )
            for column in range(1, lanes):
                with builder.vector(lanes) as lane:
                    self._fold(held, lane, column * lanes + lane)
        with builder.vector(lanes) as lane:
            self._give(first + lane, builder.load(held[1], lane))

    def _along(self, base: Index, length: int) -> tuple[tuple[Any, Any], int]:
        """The best ones of a row's lanes, and how many lanes there are."""
        builder = self.builder
        if isinstance(length, Size):
            vectors, width = 1, 1
        else:
            vectors = _VECTORS if length >= _LONG * self.lanes else 1  # to join them takes a while
            width = min(self.lanes, 2 ** (length.bit_length() - 1))
        held, step = self._local(vectors * width), vectors * width

        def one(slot: int, lanes: int, column: Index, keep: Callable[..., None]) -> None:
            with builder.vector(lanes) as lane:
                place = builder.let(column + lane)
                keep(held, slot + lane, self._input(base + place), place)

        for v in range(vectors):
            one(v * width, width, v * width, self._put)
        blocks = length // step
        if isinstance(blocks, Size) or blocks > 1:
            with builder.loop(blocks - 1, "block", 1) as block:
                for v in range(vectors):
                    one(v * width, width, block * step + v * width, self._try)
        if not isinstance(length, Size):
            for column, lanes in tail(blocks * step, length, width):
                one(0, lanes, column, self._try)
        for v in range(1, vectors):
            with builder.vector(width) as lane:
                self._fold(held, lane, v * width + lane)
        return held, width

    def _in_one(self, base: Index, length: int) -> tuple[Any, Any]:
        """The best one of a row, in the first slot."""
        held, width = self._along(base, length)
        while width > 1:
            width //= 2
            with self.builder.vector(width) as lane:
                self._fold(held, lane, width + lane)
        return held

    # Parts of rows.

    def _partial(self, shared: tuple[Slot, ...]) -> Phase:
        self._begin(shared)
        builder, part = self.builder, self.form.part
        with builder.chunk_loop() as chunk:
            row, number = divide(chunk, self.parts), builder.let(modulo(chunk, self.parts))
            begin = builder.let(number * part)
            base = builder.let(row * self.length + begin)
            for _, length in builder.block(number, part, self.length):
                bests, places = self._in_one(base, length)
                builder.store(builder["bests"], chunk, builder.load(bests, 0))
                builder.store(builder["places"], chunk, begin + builder.load(places, 0))
        return builder.finish(self.outer * self.parts)

    def _chosen_part(self, shared: tuple[Slot, ...]) -> Phase:
        self._begin(shared)
        builder = self.builder
        with builder.chunk_loop() as row:
            held, first = self._local(1), builder.let(row * self.parts)
            with builder.loop(self.parts, "part") as part:
                best = builder.let(builder.load(builder["bests"], first + part))
                place = builder.let(builder.load(builder["places"], first + part))
                with builder.when(part == 0):
                    self._put(held, 0, best, place)
                with builder.when(part > 0):
                    self._try(held, 0, best, place)
            self._give(row, builder.load(held[1], 0))
        return builder.finish(self.outer)
