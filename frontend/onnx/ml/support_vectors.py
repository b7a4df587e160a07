"""ONNX-ML's support vector machines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations

import numpy as np

from luthier.schedules import ModelError

from ...composites import math as composite
from ...graph import Array
from ...graph.emitter import Emitter
from ..node import OnnxNode, Operator
from . import attributes, scores
from .linear import matrix, products, shaped

_KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")
_MOST_CLASSES = 1 << 10
# Shares are at least so large; the iteration for two classes ends after so many steps at most,
# where errors are less.
_LEAST, _STEPS, _NEAR = 1e-7, 3, 0.0025


def _kernel(node: OnnxNode, x: int, vectors: Array) -> int:
    """The kernel function of each row with each vector [n, vectors]."""
    t, kind = node.t, attributes.chosen(node, "kernel_type", "LINEAR", _KERNELS)
    given = attributes.floats(node, "kernel_params")
    if given.size not in (0, 3):
        raise ModelError(f"{node.label}: 'kernel_params' has {given.size} numbers, not 3")
    gamma, term, degree = given.tolist() if given.size else (0.0, 0.0, 0.0)
    count, features = vectors.shape

    def number(value: float) -> int:
        return t.number(value, "float32")

    if kind == "RBF":
        rows = t.reshape(x, (t.shape(x)[0], 1, features))
        apart = t.emit("subtract", rows, t.constant(vectors.reshape(1, count, features)))
        square = t.emit("sum", t.emit("multiply", apart, apart), axes=(2,), keepdims=False)
        return t.emit("exp", t.emit("multiply", square, number(-gamma)))
    product = composite.matmul(t, x, t.constant(np.ascontiguousarray(vectors.T)))
    if kind == "LINEAR":
        return product
    product = t.emit("add", t.emit("multiply", product, number(gamma)), number(term))
    if kind == "SIGMOID":
        return t.emit("tanh", product)
    if degree in (2, 3):
        square = t.emit("multiply", product, product)
        return square if degree == 2 else t.emit("multiply", square, product)
    return t.emit("power", product, number(degree))


def _regressor(node: OnnxNode) -> int:
    """Of one class it says on which side rows are; no transform is applied, as in ONNX Runtime."""
    t, x = node.t, matrix(node)
    count, features = int(node.attr("n_supports", 0)), t.shape(x)[1]
    weights, rho = attributes.floats(node, "coefficients"), attributes.floats(node, "rho")
    if not rho.size or count < 0:
        raise ModelError(f"{node.label}: it has no 'rho', or fewer than no vectors")
    if count:
        vectors = attributes.floats(node, "support_vectors")
        x = _kernel(node, x, shaped(node, "support_vectors", vectors, count, features))
    y = products(node, x, shaped(node, "coefficients", weights, 1, t.shape(x)[1]), rho[:1])
    if not node.attr("one_class", 0):
        return y
    inside = t.emit("greater", y, t.number(0, "float32"))
    return t.emit("where", inside, t.number(1, "float32"), t.number(-1, "float32"))


def _classifier(node: OnnxNode) -> Sequence[int]:
    labels = attributes.labels(node)
    each = attributes.ints(node, "vectors_per_class")
    by_pairs = bool(each.size and each.sum())
    if not 1 + by_pairs <= labels.size <= _MOST_CLASSES:
        raise node.unsupported(f"support vectors of {labels.size} classes")
    if by_pairs:
        return _by_pairs(node, labels, each)
    return _by_planes(node, labels)


def _by_planes(node: OnnxNode, labels: Array) -> Sequence[int]:
    """A plane for each class."""
    t, x, count = node.t, matrix(node), labels.size
    given, rho = attributes.floats(node, "coefficients"), attributes.floats(node, "rho")
    if not rho.size:
        raise ModelError(f"{node.label}: it has no 'rho'")
    weights = shaped(node, "coefficients", given, count, t.shape(x)[1])
    y = products(node, x, weights, np.full(count, rho[0], np.float32))
    transform = attributes.chosen(node, "post_transform", "NONE", scores.TRANSFORMS)
    index = scores.argmax(t, y)
    if count == 1:
        return scores.labelled(t, index, labels), scores.of_one(t, y, transform)
    if count == 2:
        largest = t.reshape(t.emit("max", y, axes=(1,), keepdims=True), (t.shape(x)[0],))
        positive = bool((given >= 0).all())
        side, limit = ("greater_equal", 0.5) if positive else ("greater", 0.0)
        above = t.emit(side, largest, t.number(limit, "float32"))
        index = t.emit("where", above, t.number(1, "int64"), index)
    return scores.labelled(t, index, labels), scores.transformed(t, y, transform)


def _by_pairs(node: OnnxNode, labels: Array, each: Array) -> Sequence[int]:
    """A decision for each pair of classes; that with most votes is the label."""
    t, x, count = node.t, matrix(node), labels.size
    if each.size != count or each.min() < 0:
        raise ModelError(f"{node.label}: 'vectors_per_class' has {each.size} of {count} classes")
    total, pairs = int(each.sum()), list(combinations(range(count), 2))
    vectors = attributes.floats(node, "support_vectors")
    vectors = shaped(node, "support_vectors", vectors, total, t.shape(x)[1])
    given = shaped(node, "coefficients", attributes.floats(node, "coefficients"), count - 1, total)
    rho = attributes.floats(node, "rho")
    if rho.size != len(pairs):
        raise ModelError(f"{node.label}: 'rho' has {rho.size} numbers, not {len(pairs)}")
    node.check_table(len(pairs) * total)
    owner = np.repeat(np.arange(count), each)
    weights = np.zeros((len(pairs), total), np.float32)
    for place, (i, j) in enumerate(pairs):
        weights[place, owner == i] = given[j - 1, owner == i]
        weights[place, owner == j] = given[i, owner == j]
    decided = products(node, _kernel(node, x, vectors), weights, rho)
    label = scores.labelled(t, _votes(node, decided, pairs, count), labels)
    transform = attributes.chosen(node, "post_transform", "NONE", scores.TRANSFORMS)
    if node.attrs.get("prob_a"):
        return label, scores.transformed(t, _shares(node, decided, count), transform)
    if count > 2:
        return label, scores.transformed(t, decided, transform)
    return label, scores.two_of_one(t, decided, transform, is_share=transform != "NONE")


def _votes(node: OnnxNode, decided: int, pairs: list[tuple[int, int]], count: int) -> int:
    """The class with most votes; of equals the first."""
    t = node.t
    for_first = t.cast(t.emit("greater", decided, t.number(0, "float32")), "float32")
    turns, least = np.zeros((len(pairs), count), np.float32), np.zeros(count, np.float32)
    for place, (i, j) in enumerate(pairs):
        turns[place, i], turns[place, j] = 1, -1
        least[j] += 1
    votes = t.emit("add", composite.matmul(t, for_first, t.constant(turns)), t.constant(least))
    return scores.argmax(t, votes)


def _shares(node: OnnxNode, decided: int, count: int) -> int:
    """Probabilities of classes, by Platt's sigmoid of each pair."""
    t, pairs = node.t, count * (count - 1) // 2
    a, b = attributes.floats(node, "prob_a"), attributes.floats(node, "prob_b")
    if a.size != pairs or b.size != pairs:
        raise ModelError(f"{node.label}: 'prob_a' and 'prob_b' have {a.size} and {b.size} numbers")

    def each(values: Array) -> int:
        if pairs == 1:
            return t.number(values[0], "float32")
        return t.constant(values.astype(np.float32).reshape(1, pairs))

    z = t.emit("add", t.emit("multiply", decided, each(a)), each(b))
    first = t.emit("sigmoid", t.emit("negative", z))
    first = composite.clip(t, first, _LEAST, 1 - _LEAST)
    if count > 2:
        return t.emit("coupling", first)
    second = t.emit("subtract", t.number(1, "float32"), first)
    return scores.both(t, *_coupled(Terms(t), first, second))


class Terms:
    """Arithmetic of values, of float32."""

    def __init__(self, t: Emitter) -> None:
        self._t = t

    def __call__(self, op: str, *values: int | float) -> int:
        """An operator on values and numbers."""
        t = self._t
        made = (t.number(v, "float32") if isinstance(v, float) else v for v in values)
        return t.emit(op, *made)

    def products(self, *pairs: tuple[int, int]) -> int:
        """The sum of products."""
        (first, *rest) = (self("multiply", *pair) for pair in pairs)
        return reduce(lambda a, b: self("add", a, b), rest, first)


def _coupled(terms: Terms, first: int, second: int) -> tuple[int, int]:
    """Probabilities of two classes by those of each against the other (Wu, Lin and Weng 2004,
    algorithm 2, as libsvm iterates): it begins with even ones, and ends where they are near."""
    square = (terms("multiply", second, second), terms("multiply", first, first))
    cross = terms("negative", terms("multiply", first, second))
    even = terms("add", terms("multiply", first, 0.0), 0.5)
    p = (even, even)
    for _ in range(_STEPS):
        h = [terms.products((square[i], p[i]), (cross, p[1 - i])) for i in range(2)]
        total = terms.products((p[0], h[0]), (p[1], h[1]))
        apart = (terms("abs", terms("subtract", each, total)) for each in h)
        ends = terms("less", terms("maximum", *apart), _NEAR)
        new = list(p)
        for i in range(2):
            step = terms("divide", terms("subtract", total, h[i]), square[i])
            whole = terms("add", step, 1.0)
            inner = terms("add", terms("multiply", step, square[i]), terms("add", h[i], h[i]))
            grown = terms("divide", terms("add", total, terms("multiply", step, inner)), whole)
            total = terms("divide", grown, whole)
            new[i] = terms("add", new[i], step)
            for j in range(2):
                factor = square[i] if i == j else cross
                more = terms("add", h[j], terms("multiply", step, factor))
                h[j] = terms("divide", more, whole)
                new[j] = terms("divide", new[j], whole)
        p = (terms("where", ends, p[0], new[0]), terms("where", ends, p[1], new[1]))
    return p


OPERATORS: dict[str, Operator] = {
    "SVMClassifier": Operator(_classifier),
    "SVMRegressor": Operator(_regressor),
}
