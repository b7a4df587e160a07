"""Softmax, log-softmax, layer and RMS normalisation: a row is reduced, then its elements finished.

Softmax subtracts the row's maximum first, so it never overflows. Layer normalisation takes the mean
and then the mean squared distance from it, which is exact where the one-pass formula cancels. RMS
normalisation (Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019) needs no mean. The
row stays in the first-level cache between the passes; what leads to the operator is computed once
and kept in the output's own row, or in scratch where the output has another type. Softmax over
another axis than the last one is in ``columns``, and of few long rows in ``parts``.

Knobs: ``grain``, elements in a chunk.
"""

from __future__ import annotations

from collections.abc import Callable

from ...emit.evaluator import Evaluator, Point
from ...ir.dtype import FLOAT32
from ...ir.size import Size, at_least
from ...tir import mathfn
from ...tir.indices import Expr, Index, ceildiv, divide, extent, modulo, split_index
from ...tir.literals import constant, reciprocal
from ...tvm_late import tirx
from ..by_grain import Grain
from ..form import Emitted
from ..radix import Scratch
from ..slots import phase_builder
from .columns import softmax_of_columns
from .form import Normalize
from .lines import Across, Figure, Line, Lines, Several
from .parts import softmax_in_parts

_LONG = 64  # vectors in a row, which do not feel what its end takes


def kernel(form: Normalize, knobs: Grain) -> Emitted:
    """One phase, but for few long rows; chunks are groups of rows."""
    if form.sizes[2] != 1:
        return softmax_of_columns(form, knobs.grain)
    if form.parts > 1:
        return softmax_in_parts(form)
    return _Normalize(form, knobs).build()


class _Normalize:
    """The operator over rows of the last axes."""

    def __init__(self, form: Normalize, knobs: Grain) -> None:
        self.form, self.workload, self.node = form, form.workload, form.node
        self.grain, self.lanes = knobs.grain, form.lanes
        self.outer, self.extent, _ = form.sizes
        self.plain = self.node.args[0] < len(form.workload.inputs)
        self.shape = self.node.out.shape
        self.is_open = any(isinstance(n, Size) for n in self.shape[:-1])
        self.in_pieces = self.node.op == "standardize"
        self.outer_shape = self.shape[: -2 if self.in_pieces else -1]
        self.converts = form.workload.output.element != FLOAT32

    def build(self) -> Emitted:
        """The kernel."""
        some, scratch = self._side_by_side(), Scratch()
        if self.converts:
            rows = 1 if some is Line else self.lanes
            scratch.add("kept", self.extent * rows, "float32")
        self.builder = builder = phase_builder(self.form, {}, scratch.slots)
        anchor = len(self.workload.inputs) + self.form.where
        self.evaluator = Evaluator(self.workload, builder, anchor)
        self.kept = builder["kept" if self.converts else "out"]
        group = at_least(self.grain // at_least(self.extent, 1), 1)
        if some is not Line:
            group = min(self.outer, ceildiv(group, self.lanes) * self.lanes)
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * group)
            count = extent(first, group, self.outer)
            if some is not Line:
                blocks = builder.let(divide(count, self.lanes))
                with builder.loop(blocks, "rows") as block:
                    self._rows(some, first + block * self.lanes)
                count, first = modulo(count, self.lanes), builder.let(first + blocks * self.lanes)
            if some is Line or self.outer % self.lanes:
                with builder.loop(count, "row", first) as row:
                    self._rows(Line, row)
        phase = builder.finish(ceildiv(self.outer, group))
        return Emitted((phase,), scratch=scratch.size)

    def _side_by_side(self) -> type[Lines]:
        """How rows are normalised, but for the last ones: where L1 does not hold as many as lanes
        from pass to pass, what the end of one takes costs less than to read them again."""
        is_open = isinstance(self.outer, Size) or isinstance(self.extent, Size) or self.is_open
        if is_open or self.outer < self.lanes or self.extent >= _LONG * self.lanes:
            return Line
        if self.extent < self.lanes:
            return Across
        both = 2 * FLOAT32.nbytes(self.lanes * self.extent)  # rows that are read, and written
        return Several if both <= self.form.target.l1 else Line

    def _rows(self, some: type[Lines], first: Index) -> None:
        """Those side by side."""
        builder = self.builder
        self.first = builder.let(first)
        self.outside = self._outside(0) if self.is_open else ()
        start = builder.let(self.first * self.extent)
        self.kept_from = start if self.converts else 0
        piece = self.shape[-1] if self.in_pieces else self.extent
        self.lines = some(builder, self.extent, self.lanes, start, piece)
        if self.node.op in ("layer_norm", "standardize"):
            self._layer_norm()
        elif self.node.op == "rms_norm":
            self._rms_norm()
        else:
            self._softmax()

    def _outside(self, row: Index) -> tuple[Index, ...]:
        """The coordinates of a row, of those side by side."""
        return tuple(map(self.builder.let, split_index(self.first + row, self.outer_shape)))

    def _point(self, flat: Index, column: Index) -> Point:
        """By its flat index; by coordinates too where to compute them takes a division."""
        if self.is_open:
            return Point(self.shape, (*self.outside, column), flat)
        return Point(self.shape, flat=flat)

    def _input(self, flat: Index, column: Index) -> Expr:
        """What the operator is applied to, at a flat index."""
        return self.evaluator.element(self.node.args[0], self._point(flat, column))

    def _keep(self, flat: Index, value: Expr) -> None:
        """For a later pass."""
        self.builder.store(self.kept, flat - self.kept_from, value)

    def _load(self, flat: Index) -> Expr:
        """What was kept."""
        return self.builder.load(self.kept, flat - self.kept_from)

    def _again(self, base: Index, column: Index) -> Expr:
        """The same once ``_input`` was kept."""
        flat = base + column
        return self._input(flat, column) if self.plain else self._load(flat)

    def _finish(self, flat: Index, value: Expr, row: Index, piece: Index, column: Index) -> None:
        """Store the element, with what follows the operator applied."""
        point = self._point(flat, column)
        if self.in_pieces:  # an operand of each has no division
            point = Point(self.shape, (*self._outside(row), piece, column), flat)
        self.evaluator.store(point, value)

    def _first_pass(self, op: str, term: Callable[[Expr], Expr] = lambda x: x) -> Figure:
        """Reduce terms of the input; keep it where it took computing."""

        def value(base: Index, row: Index, column: Index) -> Expr:
            x = self._input(base + column, column)
            if not self.plain:
                x = self.builder.let(x)
                self._keep(base + column, x)
            return term(x)

        return self.lines.reduce(op, value)

    def _softmax(self) -> None:
        builder, lines = self.builder, self.lines
        largest = self._first_pass("max_number")
        keep = self.node.op == "softmax"

        def value(base: Index, row: Index, column: Index) -> Expr:
            distance = self._again(base, column) - lines.at(largest, row)
            e = mathfn.exp_below(builder.let(distance), builder.let)
            if keep:
                e = builder.let(e)
                self._keep(base + column, e)
            return e

        # What was kept is gone once its exponential is.
        total = lines.reduce("sum", value, again=self.plain or not keep)
        if keep:
            scale = lines.changed(total, lambda x: constant(1, "float32") / x)
        else:
            scale = lines.changed(total, lambda x: mathfn.log(x, builder.let))

        def finish(base: Index, row: Index, piece: Index, column: Index) -> None:
            flat, by = base + column, lines.at(scale, row)
            if keep:
                value = self._load(flat) * by
            else:
                value = self._again(base, column) - lines.at(largest, row) - by
            self._finish(flat, value, row, piece, column)

        lines.each(finish)

    def _layer_norm(self) -> None:
        builder, lines = self.builder, self.lines
        share = reciprocal(self.extent, "float32")
        mean = lines.changed(self._first_pass("sum"), lambda x: x * share)

        def square(base: Index, row: Index, column: Index) -> Expr:
            d = builder.let(self._again(base, column) - lines.at(mean, row))
            return d * d

        scale = self._inverse_root(lines.reduce("sum", square), share)

        def finish(base: Index, row: Index, piece: Index, column: Index) -> None:
            y = (self._again(base, column) - lines.at(mean, row)) * lines.at(scale, row)
            if not self.in_pieces:
                weight, bias = self._parameters(column)
                y = y * weight + bias
            self._finish(base + column, y, row, piece, column)

        lines.each(finish)

    def _rms_norm(self) -> None:
        builder, lines = self.builder, self.lines

        def square(x: Expr) -> Expr:
            x = builder.let(x)
            return x * x

        total = self._first_pass("sum", square)
        scale = self._inverse_root(total, reciprocal(self.extent, "float32"))

        def finish(base: Index, row: Index, piece: Index, column: Index) -> None:
            (weight,) = self._parameters(column)
            x = self._again(base, column) * lines.at(scale, row)
            self._finish(base + column, x * weight, row, piece, column)

        lines.each(finish)

    def _inverse_root(self, squares: Figure, share: Expr) -> Figure:
        epsilon = constant(self.node.attr("epsilon"), "float32")
        one = constant(1, "float32")
        return self.lines.changed(squares, lambda x: one / tirx.sqrt(x * share + epsilon))

    def _parameters(self, column: Index) -> list[Expr]:
        """Scale and shift, where there is one."""
        return [
            self.evaluator.element(a, Point(self.workload.tensor(a).shape, flat=column))
            for a in self.node.args[1:]
        ]
