"""Group normalisation over channels-last data, and instance normalisation: a group a channel.

Wu and He, *Group Normalization* (2018). Mean and variance of a group are taken by the corrected
two-pass method: sums for a mean, then sums of the distances from it, which correct the mean, and of
their squares. Nothing cancels, however large the mean. Vectors run along the channels, whose sums
are added up to those of groups at the end.

A chunk is some groups of an image. Where these are too few, the places of an image are cut into
parts: phase one takes each part's mean and squared distances, phase two combines them (Chan, Golub
and LeVeque, *Algorithms for Computing the Sample Variance*, 1983) and finishes the elements.

Knobs: ``groups`` (neighbouring ones in a chunk), ``parts`` (of an image's places; 1: one phase).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...emit.builder import Slot
from ...emit.evaluator import Evaluator, Point
from ...emit.tile import LINE
from ...ir.dtype import FLOAT32
from ...ir.kernel import Phase
from ...ir.size import Size
from ...ir.workload import Tensor
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, tail
from ...tir.literals import constant, reciprocal
from ...tvm_late import tirx
from ..form import Emitted
from ..fused import epilogue
from ..rows import reduce_row
from ..slots import phase_builder
from .form import GroupNorm, Knobs

_VECTORS = 4  # sums that are kept in registers side by side


def kernel(form: GroupNorm, knobs: Knobs) -> Emitted:
    """One phase, or two with the parts' statistics as a temporary."""
    return _GroupNorm(form, knobs).build()


class _GroupNorm:
    """x as [batch, places, groups, depth]; a chunk has ``width`` neighbouring channels."""

    def __init__(self, form: GroupNorm, knobs: Knobs) -> None:
        self.form, self.workload, self.lanes = form, form.workload, form.lanes
        self.x, self.gamma, self.beta = form.node.args
        self.epsilon = form.node.attr("epsilon")
        self.batch, self.places, self.channels = form.batch, form.places, form.channels
        self.groups, self.depth, self.span = form.groups, form.depth, knobs.groups
        self.width, self.blocks = self.span * self.depth, self.groups // self.span
        self.rows = ceildiv(self.places, knobs.parts)
        self.parts = ceildiv(self.places, self.rows)
        self.share = reciprocal(self.places * self.depth, "float32")  # of an element

    def build(self) -> Emitted:
        """The kernel."""
        row = FLOAT32.nbytes(ceildiv(self.width, LINE) * LINE)
        self.private = [
            Slot(None, name, Tensor((self.width,)), i * row)
            for i, name in enumerate(("mean", "sums", "squares"))
        ]
        statistics = Tensor((2, self.batch, self.groups, self.parts))  # means, squared distances
        scratch = row * len(self.private)
        if self.parts == 1:
            return Emitted((self._phase(self._whole, ()),), scratch=scratch)
        shared = (Slot(len(self.workload.inputs), "statistics", statistics),)
        phases = (self._phase(self._part, shared), self._phase(self._combined, shared))
        return Emitted(phases, temps=(statistics.nbytes,), scratch=scratch)

    def _phase(
        self, body: Callable[[Index, Index, Index], None], shared: tuple[Slot, ...]
    ) -> Phase:
        """Chunks are (image, part, block of groups)."""
        own = (*shared, *self.private)
        self.builder = builder = phase_builder(self.form, {}, own, temps=len(shared))
        with builder.chunk_loop() as chunk:
            block = builder.let(modulo(chunk, self.blocks))
            part = builder.let(modulo(divide(chunk, self.blocks), self.parts))
            body(builder.let(divide(chunk, self.blocks * self.parts)), part, block)
        return builder.finish(self.batch * self.parts * self.blocks)

    def _whole(self, image: Index, part: Index, block: Index) -> None:
        def finish(group: Index, mean: Expr, squares: Expr) -> None:
            self._keep(group, mean, squares * self.share)

        self._statistics(self._first(image, part, block), self.places, finish)
        self._finish(image, part, block)

    def _part(self, image: Index, part: Index, block: Index) -> None:
        builder = self.builder

        def finish(group: Index, mean: Expr, squares: Expr) -> None:
            for plane, value in enumerate((mean, squares)):
                at = self._place(plane, image, block * self.span + group, part)
                builder.store(builder["statistics"], at, value)

        self._statistics(self._first(image, part, block), self._rows(part), finish)

    def _combined(self, image: Index, part: Index, block: Index) -> None:
        builder = self.builder
        share = reciprocal(self.places, "float32")

        def load(plane: int, group: Index, each: Index) -> Expr:
            at = self._place(plane, image, block * self.span + group, each)
            return builder.load(builder["statistics"], at)

        with builder.loop(self.span, "group") as group:

            def weight(each: Index) -> Expr:
                return tirx.Cast("float32", self._rows(each)) * share

            some = builder.let(load(0, group, 0))  # near the mean: what is added up is small
            off = self._sum(self.parts, lambda p: weight(p) * (load(0, group, p) - some))
            mean = builder.let(some + off)

            def squares(each: Index) -> Expr:
                distance = builder.let(load(0, group, each) - mean)
                return load(1, group, each) * self.share + weight(each) * distance * distance

            self._keep(group, mean, self._sum(self.parts, squares))
        self._finish(image, part, block)

    # Where things are.

    def _rows(self, part: Index) -> Index:
        """How many places a part has."""
        return extent(part * self.rows, self.rows, self.places)

    def _first(self, image: Index, part: Index, block: Index) -> Index:
        """Flat index of a chunk's first element."""
        place = image * self.places + part * self.rows
        return self.builder.let(place * self.channels + block * self.width)

    def _place(self, plane: int, image: Index, group: Index, part: Index) -> Index:
        row = (plane * self.batch + image) * self.groups + group
        return row * self.parts + part

    def _strips(self) -> Iterator[list[tuple[Index, int]]]:
        """The chunk's channels: (first one, lanes) of the vectors that are treated at a time."""
        step = _VECTORS * self.lanes
        if self.width >= step:
            with self.builder.loop(self.width // step, "strip") as i:
                yield [(i * step + v * self.lanes, self.lanes) for v in range(_VECTORS)]
        rest = tail(self.width // step * step, self.width, self.lanes)
        if rest:
            yield list(rest)

    # Statistics.

    def _sum(self, extent: int, value: Callable[[Index], Expr]) -> Expr:
        return reduce_row(self.builder, extent, self.lanes, "sum", "float32", value)

    def _statistics(
        self, first: Index, rows: Index, finish: Callable[[Index, Expr, Expr], None]
    ) -> None:
        """``finish`` gets each group's mean, and the sum of squared distances from it."""
        builder = self.builder
        size = rows * self.depth
        known = isinstance(size, int | Size)
        number = constant(size, "float32") if known else tirx.Cast("float32", size)
        share = builder.let(constant(1, "float32") / number)
        self._accumulate(first, rows, ("sums",), lambda x, channel: [x])
        with builder.loop(self.span, "group") as group:
            mean = builder.let(self._total("sums", group) * share)
            self._spread(builder["mean"], group, mean)
        self._accumulate(first, rows, ("sums", "squares"), self._distances)
        with builder.loop(self.span, "group") as group:
            off = builder.let(self._total("sums", group) * share)
            squares = builder.let(self._total("squares", group) - off * off * number)
            # Held, since what it is read from is about to be overwritten.
            mean = builder.keep(builder.load(builder["mean"], group * self.depth) + off)
            finish(group, mean, tirx.max(squares, constant(0, "float32")))

    def _distances(self, x: Expr, channel: Index) -> list[Expr]:
        d = self.builder.let(x - self.builder.load(self.builder["mean"], channel))
        return [d, d * d]

    def _total(self, name: str, group: Index) -> Expr:
        """A group's sum of what its channels have."""
        builder = self.builder
        return self._sum(self.depth, lambda c: builder.load(builder[name], group * self.depth + c))

    def _spread(self, buffer: Expr, group: Index, value: Expr) -> None:
        """One value for all channels of a group."""
        for c in self.builder.strips(self.depth, self.lanes):
            self.builder.store(buffer, group * self.depth + c, value)

    def _accumulate(
        self,
        first: Index,
        rows: Index,
        names: tuple[str, ...],
        terms: Callable[[Expr, Index], list[Expr]],
    ) -> None:
        """Sums down the places of each channel, of each of the terms, into private rows."""
        builder, x = self.builder, self.builder[f"in{self.x}"]
        for strips in self._strips():
            size = sum(width for _, width in strips)
            sums = builder.local(len(names) * size)
            for i in range(len(names) * size):
                builder.store(sums, i, constant(0, "float32"))
            with builder.loop(rows, "place") as place:
                at = 0
                for begin, width in strips:
                    with builder.vector(width) as lane:
                        flat = first + place * self.channels + begin + lane
                        values = terms(builder.let(builder.load(x, flat)), begin + lane)
                        for n, value in enumerate(values):
                            slot = n * size + at + lane
                            builder.store(sums, slot, builder.load(sums, slot) + value)
                    at += width
            for n, name in enumerate(names):
                at = 0
                for begin, width in strips:
                    with builder.vector(width) as lane:
                        total = builder.load(sums, n * size + at + lane)
                        builder.store(builder[name], begin + lane, total)
                    at += width

    # Elements.

    def _keep(self, group: Index, mean: Expr, variance: Expr) -> None:
        """Note a group's mean and inverse deviation for ``_finish``."""
        builder = self.builder
        root = tirx.sqrt(variance + constant(self.epsilon, "float32"))
        self._spread(builder["mean"], group, mean)
        self._spread(builder["squares"], group, builder.let(constant(1, "float32") / root))

    def _finish(self, image: Index, part: Index, block: Index) -> None:
        """Scale, shift and what follows, for a chunk's elements."""
        builder = self.builder
        evaluator = Evaluator(epilogue(self.workload), builder, anchor=0)
        first = self._first(image, part, block)

        def parameter(arg: int, channel: Index) -> Expr:
            return builder.load(builder[f"in{arg}"], block * self.width + channel)

        for c in builder.strips(self.width, self.lanes):
            scale = builder.load(builder["squares"], c) * parameter(self.gamma, c)
            builder.store(builder["squares"], c, scale)
        with builder.loop(self._rows(part), "place") as place:
            row = builder.let(first + place * self.channels)
            for c in builder.strips(self.width, self.lanes):
                x = builder.load(builder[f"in{self.x}"], row + c)
                distance = x - builder.load(builder["mean"], c)
                scaled = distance * builder.load(builder["squares"], c)
                point = Point(self.workload.output.shape, flat=row + c)
                evaluator.store(point, scaled + parameter(self.beta, c))
