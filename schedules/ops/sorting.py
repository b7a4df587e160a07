"""Operators that put things in order: NaN comes after all numbers, and both zeros are equal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs


def _infer_topk(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    axis, count, shape = attrs["axis"], attrs["k"], args[0].shape
    known = isinstance(count, int) and isinstance(shape[axis], int)
    if axis < 0 or (known and not 0 <= count <= shape[axis]):
        raise ValueError(f"{count} elements along dimension {axis}")
    return Tensor((*shape[:axis], count, *shape[axis + 1 :]), "int64")


def _topk(node: Node, x: Array) -> Array:
    axis, count = node.attr("axis"), node.attr("k")
    rows = np.moveaxis(x, axis, -1)
    if node.attr("largest"):  # the last of the opposite row, whose equals are in opposite order
        order = rows.shape[-1] - 1 - np.argsort(rows[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    else:
        order = np.argsort(rows, axis=-1, kind="stable")
    return np.asarray(np.moveaxis(order[..., :count], -1, axis), np.int64)


def _infer_distinct(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    rows, _ = args[0].shape
    return Tensor((3, rows), "int64")


def _distinct(node: Node, x: Array) -> Array:
    result = np.zeros(node.out.shape, np.int64)
    if not x.size:
        return result
    order = np.lexsort(x.T[::-1])
    rows = x[order]
    other, nan = rows[1:] != rows[:-1], rows != rows
    other &= ~(nan[1:] & nan[:-1])
    begins = np.concatenate([[True], other.any(axis=1)])
    firsts, numbers = order[begins], np.cumsum(begins) - 1
    if not node.attr("sorted"):
        ranks = np.argsort(np.argsort(firsts))
        firsts, numbers = np.sort(firsts), ranks[numbers]
    result[0, order] = numbers
    result[1, : firsts.size] = firsts
    result[2, : firsts.size] = np.bincount(numbers)
    return result


OPERATORS = (
    # axis, k, largest: the places of the k largest or smallest elements along an axis, in order; of
    # equals the lower place comes first.
    Anchor("topk", 1, _topk, _infer_topk, count=lambda node, args: 8 * args[0].size),
    # x [n, columns]; sorted. In three rows: of each row of x the number of its value, of each value
    # the first place, and how often it is there, then zeros. Values are in order, by their columns
    # one after the other, or as they come where not ``sorted``. All NaNs are one value.
    Anchor("distinct", 1, _distinct, _infer_distinct, count=lambda node, args: 16 * args[0].size),
)
