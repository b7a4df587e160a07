"""Softmax of few long rows, each in parts that threads share.

Each part takes exponentials about its own maximum; a second phase scales them to the row's (Milakov
and Gimelshein, *Online normalizer calculation for softmax*, 2018).
"""

from __future__ import annotations

import math

from ...emit.builder import Slot
from ...emit.evaluator import Evaluator, Point
from ...ir.kernel import Phase
from ...ir.workload import Tensor
from ...tir import mathfn
from ...tir.indices import Expr, Index, divide, modulo
from ...tir.literals import constant
from ...tvm_late import tirx
from ..form import Emitted
from ..rows import reduce_row
from ..slots import phase_builder
from .form import Normalize


def softmax_in_parts(form: Normalize) -> Emitted:
    """Two phases; chunks are parts of rows."""
    outer, inputs = form.sizes[0], len(form.workload.inputs)
    figures = Tensor((outer, form.parts))
    shared = tuple(Slot(inputs + i, name, figures) for i, name in enumerate(("maxima", "sums")))
    phases = (_Parts(form, shared).exponentials(), _Parts(form, shared).scaled())
    return Emitted(phases, temps=(figures.nbytes, figures.nbytes))


class _Parts:
    """One of the phases."""

    def __init__(self, form: Normalize, shared: tuple[Slot, ...]) -> None:
        self.form, self.node, self.lanes = form, form.node, form.lanes
        self.outer, self.length, _ = form.sizes
        self.plain = self.node.args[0] < len(form.workload.inputs)
        self.is_softmax = self.node.op == "softmax"
        self.builder = phase_builder(form, {}, shared, temps=len(shared))
        anchor = len(form.workload.inputs) + form.where
        self.evaluator = Evaluator(form.workload, self.builder, anchor)

    def _input(self, flat: Index) -> Expr:
        return self.evaluator.element(self.node.args[0], Point(self.node.out.shape, flat=flat))

    def _again(self, flat: Index) -> Expr:
        """The same once the first pass kept what took computing in the output."""
        return self._input(flat) if self.plain else self.builder.load(self.builder["out"], flat)

    def _figure(self, name: str, chunk: Index) -> Expr:
        return self.builder.load(self.builder[name], chunk)

    def exponentials(self) -> Phase:
        """Of each part its maximum, its elements' exponentials about that, and their sum."""
        builder, part = self.builder, self.form.part
        with builder.chunk_loop() as chunk:
            number = builder.let(modulo(chunk, self.form.parts))
            row = divide(chunk, self.form.parts) * self.length
            first = builder.let(row + number * part)
            for _, length in builder.block(number, part, self.length):
                largest = self._largest(first, length)
                builder.store(builder["maxima"], chunk, largest)
                builder.store(builder["sums"], chunk, self._total(first, length, largest))
        return builder.finish(self.outer * self.form.parts)

    def _largest(self, first: Index, length: int) -> Expr:
        builder = self.builder

        def value(column: Index) -> Expr:
            x = self._input(first + column)
            if not self.plain:
                x = builder.let(x)
                builder.store(builder["out"], first + column, x)
            return x

        return reduce_row(builder, length, self.lanes, "max_number", "float32", value)

    def _total(self, first: Index, length: int, largest: Expr) -> Expr:
        """About 0 where a part has nothing but minus infinity."""
        builder, lowest = self.builder, constant(-math.inf, "float32")
        base = builder.let(tirx.Select(largest == lowest, constant(0, "float32"), largest))

        def value(column: Index) -> Expr:
            distance = builder.let(self._again(first + column) - base)
            e = mathfn.exp_below(distance, builder.let)
            if self.is_softmax:
                e = builder.let(e)
                builder.store(builder["out"], first + column, e)
            return e

        return reduce_row(builder, length, self.lanes, "sum", "float32", value)

    def scaled(self) -> Phase:
        """The elements, by the row's maximum and sum."""
        builder, part, parts = self.builder, self.form.part, self.form.parts
        with builder.chunk_loop() as chunk:
            number = builder.let(modulo(chunk, parts))
            row = builder.let(divide(chunk, parts))
            first = builder.let(row * self.length + number * part)
            begin = builder.let(row * parts)
            largest = reduce_row(
                builder, parts, self.lanes, "max_number", "float32",
                lambda p: self._figure("maxima", begin + p),
            )  # fmt: skip

            def shrunk(chunk: Index, largest: Expr = largest) -> Expr:
                gap = builder.let(self._figure("maxima", chunk) - largest)
                return mathfn.exp_below(gap, builder.let)

            total = reduce_row(
                builder, parts, self.lanes, "sum", "float32",
                lambda p: self._figure("sums", begin + p) * shrunk(begin + p),
            )  # fmt: skip
            scale = shrunk(chunk) / total if self.is_softmax else mathfn.log(total, builder.let)
            scale = builder.let(scale)
            for _, length in builder.block(number, part, self.length):
                self._finish(first, length, largest, scale)
        return builder.finish(self.outer * parts)

    def _finish(self, first: Index, length: int, largest: Expr, scale: Expr) -> None:
        builder = self.builder
        for column in builder.strips(length, self.lanes):
            flat = first + column
            if self.is_softmax:
                value = builder.load(builder["out"], flat) * scale
            else:
                value = self._again(flat) - largest - scale
            self.evaluator.store(Point(self.node.out.shape, flat=flat), value)
