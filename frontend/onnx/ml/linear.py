"""ONNX-ML's linear models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.schedules import ModelError

from ...composites import math as composite
from ...graph import Array
from ..node import OnnxNode, Operator
from . import attributes, scores


def matrix(node: OnnxNode) -> int:
    """The input as rows of float32, in which these models compute."""
    if node.rank not in (1, 2):
        raise ModelError(f"{node.label}: its input has {node.rank} dimensions, not 2")
    x = node.x if node.rank == 2 else node.t.reshape(node.x, (1, *node.shape))
    return node.t.cast(x, "float32")


def products(node: OnnxNode, x: int, weights: Array, terms: Array) -> int:
    """``x @ weights.T + terms``; weights [targets, features]."""
    t = node.t
    y = composite.matmul(t, x, t.constant(np.ascontiguousarray(weights.T)))
    return t.emit("add", y, t.constant(terms)) if terms.any() else y


def shaped(node: OnnxNode, name: str, array: Array, rows: int, columns: int) -> Array:
    """A list as a matrix; raises ModelError where it has another size."""
    if array.size != rows * columns:
        raise ModelError(f"{node.label}: '{name}' has {array.size} numbers, not {rows} x {columns}")
    return array.reshape(rows, columns)


def _linear(node: OnnxNode, targets: int) -> int:
    x = matrix(node)
    given = attributes.floats(node, "coefficients")
    weights = shaped(node, "coefficients", given, targets, node.t.shape(x)[1])
    terms = attributes.floats(node, "intercepts")
    if terms.size not in (0, targets):
        raise ModelError(f"{node.label}: it has {terms.size} intercepts and {targets} targets")
    return products(node, x, weights, terms if terms.size else np.zeros(targets, np.float32))


def _regressor(node: OnnxNode) -> int:
    """A transform of one target is none, but for PROBIT, as in ONNX Runtime."""
    targets = int(node.attr("targets", 1))
    if targets < 1:
        raise ModelError(f"{node.label}: it has {targets} targets")
    y = _linear(node, targets)
    transform = attributes.chosen(node, "post_transform", "NONE", scores.TRANSFORMS)
    if targets == 1 and transform != "PROBIT":
        return y
    return scores.transformed(node.t, y, transform)


def _classifier(node: OnnxNode) -> Sequence[int]:
    """Of one row of coefficients, scores are of the second of two classes."""
    t, labels = node.t, attributes.labels(node)
    terms = attributes.floats(node, "intercepts")
    targets = terms.size or labels.size
    if targets < 1 or (targets > 1 and labels.size != targets):
        raise ModelError(f"{node.label}: it has {labels.size} labels and {targets} intercepts")
    transform = attributes.chosen(node, "post_transform", "NONE", scores.TRANSFORMS)
    if targets == 1 and labels.size != 2:
        raise node.unsupported(f"one row of coefficients for {labels.size} classes")
    y = _linear(node, targets)
    if targets > 1:
        label = scores.labelled(t, scores.argmax(t, y), labels)
        return label, scores.transformed(t, y, transform)
    is_second = t.emit("greater", y, t.number(0, "float32"))
    label = scores.either(t, is_second, labels)
    if transform == "PROBIT":
        raise node.unsupported("the transform PROBIT of one class's score")
    return label, scores.two_of_one(t, y, transform, is_share=True)


OPERATORS: dict[str, Operator] = {
    "LinearClassifier": Operator(_classifier),
    "LinearRegressor": Operator(_regressor),
}
