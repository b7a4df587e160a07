"""Probabilities of classes by those of pairs: each row is iterated until it is near.

``grain``: input elements in a chunk, whole rows.
"""

from __future__ import annotations

from typing import Any

from ...emit.builder import PhaseBuilder
from ...ir.size import at_least
from ...ops.matrices import NEAR, STEPS
from ...tir import arithmetic, compare
from ...tir.indices import Expr, Index, ceildiv, extent
from ...tir.literals import constant
from ..by_grain import Grain
from ..form import Emitted
from ..radix import Scratch
from ..slots import phase_builder
from .form import Coupling

_FLOAT = "float32"


def kernel(form: Coupling, knobs: Grain) -> Emitted:
    """One phase."""
    rows, pairs = form.workload.inputs[0].shape
    classes = form.workload.output.shape[1]
    group = at_least(knobs.grain // pairs, 1)
    scratch = Scratch()
    scratch.add("weights", classes * classes, _FLOAT)
    scratch.add("gradient", classes, _FLOAT)
    builder = phase_builder(form, {}, scratch.slots)
    with builder.chunk_loop() as chunk:
        first = builder.let(chunk * group)
        with builder.loop(extent(first, group, rows), "row", first) as row:
            _Row(builder, classes, row * pairs, row * classes).couple()
    return Emitted((builder.finish(ceildiv(rows, group)),), scratch=scratch.size)


class _Row:
    """Pairs from one place on, classes from another.

    ``weights`` is the matrix Q of the paper, ``gradient`` its product with the probabilities, and
    ``total`` that one's with them.
    """

    def __init__(self, builder: PhaseBuilder, classes: int, pairs: Index, at: Index) -> None:
        self.builder, self.classes = builder, classes
        self.pairs, self.at = builder.let(pairs), builder.let(at)
        self.total, self.error, self.step = (builder.local(1) for _ in range(3))
        self.going, self.pair = (builder.local(1, "int32") for _ in range(2))

    def couple(self) -> None:
        """Write the probabilities."""
        builder = self.builder
        self._weigh()
        self._each(lambda i: self._put(i, constant(1 / self.classes, _FLOAT)))
        builder.store(self.going, 0, constant(1, "int32"))
        with builder.loop(STEPS, "iteration"), builder.when(builder.load(self.going, 0) > 0):
            self._measure()
            near = constant(NEAR / self.classes, _FLOAT)
            with builder.when(compare.less(builder.load(self.error, 0), near)):
                builder.store(self.going, 0, constant(0, "int32"))
            with builder.when(builder.load(self.going, 0) > 0):
                self._each(self._improve)

    def _each(self, what: Any) -> None:
        with self.builder.loop(self.classes, "class") as i:
            what(i)

    def _get(self, i: Index) -> Expr:
        return self.builder.load(self.builder["out"], self.at + i)

    def _put(self, i: Index, value: Expr) -> None:
        self.builder.store(self.builder["out"], self.at + i, value)

    def _weight(self, i: Index, j: Index) -> Expr:
        return self.builder.load(self.builder["weights"], i * self.classes + j)

    def _gradient(self, i: Index) -> Expr:
        return self.builder.load(self.builder["gradient"], i)

    def _add(self, *terms: Expr) -> Expr:
        first, *rest = terms
        for term in rest:
            first = arithmetic.add(first, term, self.builder.let)
        return first

    def _less(self, a: Expr, b: Expr) -> Expr:
        return arithmetic.subtract(a, b, self.builder.let)

    def _times(self, a: Expr, b: Expr) -> Expr:
        return arithmetic.multiply(a, b, self.builder.let)

    def _over(self, a: Expr, b: Expr) -> Expr:
        return arithmetic.divide(a, b, self.builder.let)

    def _weigh(self) -> None:
        builder, classes = self.builder, self.classes
        weights = builder["weights"]
        self._each(lambda i: builder.store(weights, i * (classes + 1), constant(0, _FLOAT)))
        builder.store(self.pair, 0, constant(0, "int32"))
        with builder.loop(classes - 1, "i") as i, builder.loop(classes - 1 - i, "j", i + 1) as j:
            share = builder.load(builder["in0"], self.pairs + builder.load(self.pair, 0))
            builder.store(self.step, 0, self._less(constant(1, _FLOAT), share))
            other = builder.load(self.step, 0)
            cross = arithmetic.negative(self._times(share, other), builder.let)
            builder.store(weights, i * classes + j, cross)
            builder.store(weights, j * classes + i, self._weight(i, j))
            # The first's own weight has the shares of the others, and the other way round.
            for own, square in ((i, other), (j, share)):
                more = self._add(self._weight(own, own), self._times(square, square))
                builder.store(weights, own * (classes + 1), more)
            builder.store(self.pair, 0, builder.load(self.pair, 0) + 1)

    def _measure(self) -> None:
        """The gradient anew, and how far it is from even."""
        builder = self.builder
        builder.store(self.total, 0, constant(0, _FLOAT))

        def gradient(i: Index) -> None:
            builder.store(builder["gradient"], i, constant(0, _FLOAT))
            with builder.loop(self.classes, "other") as j:
                product = self._times(self._weight(i, j), self._get(j))
                builder.store(builder["gradient"], i, self._add(self._gradient(i), product))
            product = self._times(self._get(i), self._gradient(i))
            builder.store(self.total, 0, self._add(builder.load(self.total, 0), product))

        def distance(i: Index) -> None:
            apart = self._less(self._gradient(i), builder.load(self.total, 0))
            size = arithmetic.absolute(apart, builder.let)
            with builder.when(compare.less(builder.load(self.error, 0), size)):
                builder.store(self.error, 0, size)

        self._each(gradient)
        builder.store(self.error, 0, constant(0, _FLOAT))
        self._each(distance)

    def _improve(self, i: Index) -> None:
        """One class's probability, and all others' shares of what is left."""
        builder, total = self.builder, self.builder.load(self.total, 0)
        own, gradient = self._weight(i, i), self._gradient(i)
        builder.store(self.step, 0, self._over(self._less(total, gradient), own))
        step = builder.load(self.step, 0)
        self._put(i, self._add(self._get(i), step))
        whole = self._add(constant(1, _FLOAT), step)
        inner = self._add(self._times(step, own), self._add(gradient, gradient))
        grown = self._over(self._add(total, self._times(step, inner)), whole)
        builder.store(self.total, 0, self._over(grown, whole))

        def share(j: Index) -> None:
            more = self._add(self._gradient(j), self._times(step, self._weight(i, j)))
            builder.store(builder["gradient"], j, self._over(more, whole))
            self._put(j, self._over(self._get(j), whole))

        self._each(share)
