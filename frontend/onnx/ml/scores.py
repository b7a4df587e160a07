"""From scores to what a classifier or a regressor gives: labels, and scores after a transform.

The standard's text leaves much open; this is what ONNX Runtime does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.schedules import ModelError

from ...composites import movement
from ...graph import Array
from ...graph.emitter import Emitter
from ..node import OnnxNode

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
# What SOFTMAX_ZERO takes for zero, and the coefficient of an approximation of erf's inverse
# (Winitzki 2008), as ONNX Runtime has them.
_ZERO, _WINITZKI, _PI = 1e-7, 0.147, 3.14159


def transformed(t: Emitter, y: int, transform: str) -> int:
    """Scores of rows after a transform."""
    match transform:
        case "SOFTMAX":
            return t.emit("softmax", y, axis=len(t.shape(y)) - 1)
        case "LOGISTIC":
            return t.emit("sigmoid", y)
        case "SOFTMAX_ZERO":
            return _softmax_zero(t, y)
        case "PROBIT":
            return _probit(t, y)
    return y


def _softmax_zero(t: Emitter, y: int) -> int:
    """A softmax that multiplies scores near zero instead of raising e to them."""
    axis, dtype = len(t.shape(y)) - 1, t.dtype(y)
    largest = t.emit("max", y, axes=(axis,), keepdims=True)
    other = t.emit("greater", t.emit("abs", y), t.number(_ZERO, dtype))
    power = t.emit("exp", t.emit("subtract", y, largest))
    nearly = t.emit("multiply", y, t.emit("exp", t.emit("negative", largest)))
    total = t.emit(
        "sum", t.emit("where", other, power, t.number(0, dtype)), axes=(axis,), keepdims=True
    )
    return t.emit("divide", t.emit("where", other, power, nearly), total)


def _probit(t: Emitter, y: int) -> int:
    """The normal distribution's quantile: sqrt(2) erf^-1(2 y - 1)."""

    def number(value: float) -> int:
        return t.number(value, t.dtype(y))

    x = t.emit("subtract", t.emit("multiply", y, number(2)), number(1))
    below, above = t.emit("subtract", number(1), x), t.emit("add", number(1), x)
    log = t.emit("log", t.emit("multiply", below, above))
    half = t.emit("add", t.emit("multiply", log, number(0.5)), number(2 / (_PI * _WINITZKI)))
    square = t.emit("multiply", half, half)
    inner = t.emit("subtract", square, t.emit("multiply", log, number(1 / _WINITZKI)))
    size = t.emit("sqrt", t.emit("subtract", t.emit("sqrt", inner), half))
    negative = t.emit("less", x, number(0))
    signed = t.emit("where", negative, t.emit("negative", size), size)
    return t.emit("multiply", signed, number(1.41421356))


def both(t: Emitter, negative: int, positive: int) -> int:
    """Two scores [n, 1] beside one another."""
    return movement.concat(t, [negative, positive], 1)


def two_of_one(t: Emitter, score: int, transform: str, *, is_share: bool) -> int:
    """Scores of both classes of the second one's [n, 1]: of a share what is left of 1, else the
    opposite; no transform but LOGISTIC is applied."""
    opposite = t.emit("negative", score)
    if transform == "LOGISTIC":
        return t.emit("sigmoid", both(t, opposite, score))
    if is_share:
        return both(t, t.emit("subtract", t.number(1, t.dtype(score)), score), score)
    return both(t, opposite, score)


def of_one(t: Emitter, score: int, transform: str) -> int:
    """The score of the only class, to which no transform but PROBIT is applied."""
    return _probit(t, score) if transform == "PROBIT" else score


def argmax(t: Emitter, y: int) -> int:
    """The first place of the largest score in each row [n], int64."""
    rows, count = t.shape(y)
    largest = t.emit("max", y, axes=(1,), keepdims=True)
    places = t.constant(np.arange(count, dtype=np.int32).reshape(1, count))
    found = t.emit("where", t.emit("equal", y, largest), places, t.number(count - 1, "int32"))
    return t.reshape(t.cast(t.emit("min", found, axes=(1,), keepdims=True), "int64"), (rows,))


def labelled(t: Emitter, index: int, labels: Array) -> int:
    """Of numbers of classes [n] their labels."""
    if np.array_equal(labels, np.arange(labels.size)):
        return index
    return movement.take(t, t.constant(np.asarray(labels, np.int64)), index, 0)


def either(t: Emitter, condition: int, labels: Array) -> int:
    """Where the condition [n, 1] holds the second of two labels, else the first; [n]."""
    one, other = (t.number(int(label), "int64") for label in labels)
    rows = t.shape(condition)[0]
    return t.reshape(t.emit("where", condition, other, one), (rows,))


@dataclass(frozen=True)
class Classes:
    """Of an ensemble of trees; ``scored`` are those for which leaves have weights."""

    node: OnnxNode
    labels: Array
    scored: frozenset[int]

    def of_trees(self, y: int, base: Array, transform: str, *, all_positive: bool) -> Sequence[int]:
        """Labels and scores of sums [n, classes]."""
        count = self.labels.size
        if base.size > count or (count > 2 and base.size not in (0, count)):
            raise ModelError(
                f"{self.node.label}: it has {base.size} base values and {count} classes"
            )
        if count == 1:
            return self._of_one(y, base, transform)
        if count == 2:
            return self._of_two(y, base, transform, all_positive=all_positive)
        t = self.node.t
        scored = sorted(self.scored) if not base.size else list(range(count))
        if base.size:
            y = t.emit("add", y, t.constant(base.astype(t.dtype(y))))
        chosen = y
        if len(scored) < count:
            chosen = movement.take(t, y, t.constant(np.asarray(scored, np.int64)), 1)
        label = labelled(t, argmax(t, chosen), self.labels[scored])
        return label, transformed(t, t.cast(y, "float32"), transform)

    def _of_one(self, y: int, base: Array, transform: str) -> Sequence[int]:
        """All rows are of the only class, which ONNX Runtime calls 0 or 1 by its score."""
        t = self.node.t
        if base.size:
            y = t.emit("add", y, t.number(base[0], t.dtype(y)))
        label = labelled(t, argmax(t, y), self.labels)
        return label, of_one(t, t.cast(y, "float32"), transform)

    def _of_two(self, y: int, base: Array, transform: str, *, all_positive: bool) -> Sequence[int]:
        """Where leaves have weights for one class alone, that is the score of the second."""
        t, dtype = self.node.t, self.node.t.dtype(y)
        first, second = movement.split(t, y, (1, 1), 1)
        has_first, has_second = 0 in self.scored, 1 in self.scored
        single = not (has_first and has_second)

        def plus(score: int, place: int) -> int:
            return t.emit("add", score, t.number(base[place], dtype))

        if base.size == 2 and has_second:
            second = plus(first, 1)
            first = t.emit("negative", second) if has_first else first
        elif base.size and has_first:
            first = plus(first, 0)
        decisive = second if has_second else first
        limit = 0.5 if single and all_positive else 0.0
        is_second = t.emit("greater", decisive, t.number(limit, dtype))
        label = either(t, is_second, self.labels)
        if has_second or base.size == 2:
            return label, transformed(t, t.cast(both(t, first, second), "float32"), transform)
        if transform == "PROBIT":
            raise self.node.unsupported("the transform PROBIT of one class's score")
        score = t.cast(first, "float32")
        return label, two_of_one(t, score, transform, is_share=all_positive)
