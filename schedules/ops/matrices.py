"""Operators on whole rows and matrices that no sum or product of elements spells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs

_LARGEST = 4096  # rows: more take hours, and a matrix lies in a worker's scratch
STEPS, NEAR = 100, 0.005  # as libsvm has them


def classes_of(pairs: int) -> int:
    """How many classes have so many pairs; raises ValueError where none do."""
    found = (1 + math.isqrt(1 + 8 * pairs)) // 2
    if found < 2 or found * (found - 1) // 2 != pairs:
        raise ValueError(f"{pairs} pairs of no number of classes")
    return found


def _infer_determinant(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    count, rows, columns = args[0].shape
    if rows != columns or not 2 <= rows <= _LARGEST or not args[0].element.is_float:
        raise ValueError(f"a determinant of {args[0]}")
    return Tensor((count,), args[0].dtype)


def _determinant(node: Node, x: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.linalg.det(x), x.dtype)


def _infer_coupling(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    rows, pairs = args[0].shape
    if args[0].dtype != "float32":
        raise ValueError(f"probabilities in {args[0].dtype}")
    return Tensor((rows, classes_of(pairs)))


def _coupling(node: Node, x: Array) -> Array:
    rows, classes = node.out.shape
    return np.asarray([_coupled(row, classes) for row in x], np.float32).reshape(rows, classes)


def _coupled(row: Array, classes: int) -> Array:
    first, second = np.triu_indices(classes, 1)
    r = np.zeros((classes, classes), np.float32)
    r[first, second], r[second, first] = row, np.float32(1) - row
    q = -r * r.T
    np.fill_diagonal(q, (r * r).sum(axis=0))
    p = np.full(classes, np.float32(1 / classes))
    for _ in range(STEPS):
        qp = q @ p
        total = p @ qp
        apart = np.fmax.reduce(np.abs(qp - total), initial=0)  # NaN ends it, as in libsvm
        if apart < np.float32(NEAR) / np.float32(classes):
            break
        for i in range(classes):
            step = (total - qp[i]) / q[i, i]
            whole = 1 + step
            total = (total + step * (step * q[i, i] + 2 * qp[i])) / whole / whole
            p[i] += step
            qp = (qp + step * q[i]) / whole
            p /= whole
    return p


OPERATORS = (
    # x [count, n, n]: a number each.
    Anchor(
        "determinant",
        1,
        _determinant,
        _infer_determinant,
        count=lambda node, args: args[0].size * args[0].shape[1],
    ),
    # x [rows, pairs]: of each two classes (0 and 1, 0 and 2, ..., 1 and 2, ...) the probability of
    # the first of them. Those of all classes [rows, classes] (Wu, Lin and Weng 2004, algorithm 2,
    # as libsvm iterates): even ones at first, until they are near or 100 steps are done.
    Anchor(
        "coupling",
        1,
        _coupling,
        _infer_coupling,
        count=lambda node, args: 40 * args[0].size,
    ),
)
