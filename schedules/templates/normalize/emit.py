"""Softmax, log-softmax, layer and RMS normalisation: a row is reduced, then its elements finished.

Softmax subtracts the row's maximum first, so it never overflows. Layer normalisation takes the mean
and then the mean squared distance from it, which is exact where the one-pass formula cancels. RMS
normalisation (Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019) needs no mean. The
row stays in the first-level cache between the passes; what leads to the operator is computed once
and kept in the output's own row, or in scratch where the output has another type.

Knobs: ``grain``, elements in a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...emit.evaluator import Evaluator, Point
from ...ir.dtype import FLOAT32
from ...ir.size import Size, at_least
from ...tir import mathfn
from ...tir.indices import Expr, Index, ceildiv, extent, split_index, tail
from ...tir.literals import constant, reciprocal
from ...tvm_late import tirx
from ..by_grain import Grain
from ..form import Emitted
from ..radix import Scratch
from ..rows import combine, identity, reduce_row
from ..slots import phase_builder
from .form import Normalize


def kernel(form: Normalize, knobs: Grain) -> Emitted:
    """One phase; chunks are groups of rows."""
    return _Normalize(form, knobs).build()


class _Normalize:
    """The operator over [outer, extent, inner]: ``inner`` is 1 where the axis is the last one."""

    def __init__(self, form: Normalize, knobs: Grain) -> None:
        self.form, self.workload, self.node = form, form.workload, form.node
        self.grain, self.lanes = knobs.grain, form.lanes
        self.anchor = len(form.workload.inputs) + form.where
        self.outer, self.extent, self.inner = form.sizes
        self.plain = self.node.args[0] < len(form.workload.inputs)
        self.shape = self.node.out.shape
        self.is_open = self.inner == 1 and any(isinstance(n, Size) for n in self.shape[:-1])
        self.outside: tuple[Index, ...] = ()  # the row's coordinates
        self.first: Index = 0  # where the row begins in what is kept

    def build(self) -> Emitted:
        """The kernel."""
        scratch, converts = Scratch(), self.workload.output.element != FLOAT32
        if converts:
            scratch.add("kept", self.extent * self.inner, "float32")
        self.builder = builder = phase_builder(self.form, {}, scratch.slots)
        self.evaluator = Evaluator(self.workload, builder, self.anchor)
        self.serial_before, *parameters = (self.evaluator.is_serial(a) for a in self.node.args)
        self.serial_after = self.evaluator.is_serial() or any(parameters)
        self.kept = builder["kept" if converts else "out"]
        body = self._row if self.inner == 1 else self._plane
        group = at_least(self.grain // at_least(self.extent * self.inner, 1), 1)
        with builder.chunk_loop() as chunk:
            first = builder.let(chunk * group)
            with builder.loop(extent(first, group, self.outer), "row", first) as row:
                if self.is_open:
                    self.outside = tuple(map(builder.let, split_index(row, self.shape[:-1])))
                base = builder.let(row * (self.extent * self.inner))
                self.first = base if converts else 0
                body(base)
        return Emitted((builder.finish(ceildiv(self.outer, group)),), scratch=scratch.size)

    def _point(self, flat: Index, column: Index | None) -> Point:
        """By its flat index; by coordinates too where to compute them takes a division."""
        if self.is_open and column is not None:
            return Point(self.shape, (*self.outside, column), flat)
        return Point(self.shape, flat=flat)

    def _input(self, flat: Index, column: Index | None = None) -> Expr:
        """What the operator is applied to, at a flat index."""
        return self.evaluator.element(self.node.args[0], self._point(flat, column))

    def _keep(self, flat: Index, value: Expr) -> None:
        """For a later pass."""
        self.builder.store(self.kept, flat - self.first, value)

    def _load(self, flat: Index) -> Expr:
        """What was kept."""
        return self.builder.load(self.kept, flat - self.first)

    def _again(self, base: Index, column: Index) -> Expr:
        """The same once ``_input`` was kept."""
        flat = base + column
        return self._input(flat, column) if self.plain else self._load(flat)

    def _finish(self, flat: Index, value: Expr, column: Index | None = None) -> None:
        """Store the element, with what follows the operator applied."""
        self.evaluator.store(self._point(flat, column), value)

    def _reduce(self, op: str, value: Callable[[Index], Expr], serial: bool = False) -> Expr:
        return reduce_row(
            self.builder, self.extent, self.lanes, op, "float32", value, serial=serial
        )

    def _first_pass(self, op: str, base: Index, term: Callable[[Expr], Expr] = lambda x: x) -> Expr:
        """Reduce terms of the input; keep it where it took computing."""

        def value(column: Index) -> Expr:
            x = self._input(base + column, column)
            if not self.plain:
                x = self.builder.let(x)
                self._keep(base + column, x)
            return term(x)

        return self._reduce(op, value, self.serial_before)

    def _row(self, base: Index) -> None:
        if self.node.op == "layer_norm":
            self._layer_norm(base)
        elif self.node.op == "rms_norm":
            self._rms_norm(base)
        else:
            self._softmax(base)

    def _softmax(self, base: Index) -> None:
        builder = self.builder
        largest = self._first_pass("max", base)
        keep = self.node.op == "softmax"

        def value(column: Index) -> Expr:
            e = mathfn.exp(builder.let(self._again(base, column) - largest), builder.let)
            if keep:
                e = builder.let(e)
                self._keep(base + column, e)
            return e

        total = self._reduce("sum", value)
        if keep:
            scale = builder.let(constant(1, "float32") / total)
            for column in builder.strips(self.extent, self.lanes, self.serial_after):
                flat = base + column
                self._finish(flat, self._load(flat) * scale, column)
        else:
            scale = builder.let(mathfn.log(total, builder.let))
            for column in builder.strips(self.extent, self.lanes, self.serial_after):
                result = self._again(base, column) - largest - scale
                self._finish(base + column, result, column)

    def _layer_norm(self, base: Index) -> None:
        builder = self.builder
        share = reciprocal(self.extent, "float32")
        mean = builder.let(self._first_pass("sum", base) * share)

        def distance(column: Index) -> Expr:
            d = builder.let(self._again(base, column) - mean)
            return d * d

        variance = self._reduce("sum", distance) * share
        scale = self._inverse_root(variance)
        for column in builder.strips(self.extent, self.lanes, self.serial_after):
            x = self._again(base, column)
            weight, bias = self._parameters(column)
            self._finish(base + column, (x - mean) * scale * weight + bias, column)

    def _rms_norm(self, base: Index) -> None:
        builder = self.builder

        def square(x: Expr) -> Expr:
            x = builder.let(x)
            return x * x

        total = self._first_pass("sum", base, square)
        scale = self._inverse_root(total * reciprocal(self.extent, "float32"))
        for column in builder.strips(self.extent, self.lanes, self.serial_after):
            x = self._again(base, column)
            (weight,) = self._parameters(column)
            self._finish(base + column, x * scale * weight, column)

    def _inverse_root(self, mean: Expr) -> Expr:
        epsilon = constant(self.node.attr("epsilon"), "float32")
        return self.builder.let(constant(1, "float32") / tirx.sqrt(mean + epsilon))

    def _parameters(self, column: Index) -> list[Expr]:
        """Scale and shift, where there is one."""
        return [
            self.evaluator.element(a, Point(self.workload.tensor(a).shape, flat=column))
            for a in self.node.args[1:]
        ]

    def _plane(self, base: Index) -> None:
        """Softmax over an axis that is not the last: vectors run along the last one."""
        full = self.inner // self.lanes
        with self.builder.loop(full, "strip") as i:
            if full:
                self._strip(base + i * self.lanes, self.lanes)
        for offset, width in tail(full * self.lanes, self.inner, self.lanes):
            self._strip(base + offset, width)

    def _strip(self, first: Index, width: int) -> None:
        """``width`` neighbouring columns."""
        builder = self.builder
        largest, total = builder.local(width), builder.local(width)
        for lane in range(width):
            builder.store(largest, lane, identity("max", "float32"))
            builder.store(total, lane, constant(0, "float32"))
        pick = combine("max")
        with self._down(first, width, self.serial_before) as (flat, lane):
            x = builder.let(self._input(flat))
            self._keep(flat, x)
            builder.store(largest, lane, pick(builder.load(largest, lane), x))
        keep = self.node.op == "softmax"
        with self._down(first, width) as (flat, lane):
            shifted = builder.let(self._load(flat) - builder.load(largest, lane))
            e = builder.let(mathfn.exp(shifted, builder.let))
            self._keep(flat, e if keep else shifted)
            builder.store(total, lane, builder.load(total, lane) + e)
        with self._down(first, width, self.serial_after) as (flat, lane):
            value = self._load(flat)
            sums = builder.load(total, lane)
            self._finish(flat, value / sums if keep else value - mathfn.log(sums, builder.let))

    @contextmanager
    def _down(
        self, first: Index, width: int, serial: bool = False
    ) -> Iterator[tuple[Index, Index]]:
        """Down the axis, one vector at a time: (flat index, lane)."""
        with self.builder.loop(self.extent, "a") as a, self.builder.vector(width, serial) as lane:
            yield first + a * self.inner + lane, lane
