"""Operators whose result is as long as what they find: its node alone holds how long that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs


def _nonzero(node: Node, x: Array) -> Array:
    found = np.array(np.nonzero(x), node.out.dtype)[:, : node.out.shape[1]]
    result = np.zeros(node.out.shape, node.out.dtype)
    result[:, : found.shape[1]] = found
    return result


def _suppress(node: Node, boxes: Array, scores: Array, *limits: Array) -> Array:
    wanted, share, threshold = (limit.reshape(())[()] for limit in limits)
    result = np.full(node.out.shape, -1, np.int64)
    low, high = _ends(boxes, bool(node.attr("center")))
    areas = np.prod(high - low, axis=2)
    for batch, of in np.ndindex(*scores.shape[:2]):
        order = np.argsort(-scores[batch, of], kind="stable")
        left = [i for i in order if scores[batch, of, i] > threshold or not node.attr("threshold")]
        for place in range(min(int(wanted), node.out.shape[2])):
            if not left:
                break
            best = result[batch, of, place] = left.pop(0)
            lower, upper = (
                f(e[batch, best], e[batch, left])
                for f, e in ((np.maximum, low), (np.minimum, high))
            )
            sides = upper - lower
            both = np.prod(sides, axis=1)
            union = areas[batch, best] + areas[batch, left] - both
            meet = (sides > 0).all(1) & (areas[batch, left] > 0) & (areas[batch, best] > 0)
            meet &= (both > 0) & (union > 0)
            with np.errstate(invalid="ignore", divide="ignore"):
                goes = meet & (both / union > share)
            left = [i for i, gone in zip(left, goes, strict=True) if not gone]
    return result


def _ends(boxes: Array, is_center: bool) -> tuple[Array, Array]:
    """The lowest and the highest coordinates."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if is_center:
        half = second * boxes.dtype.type(0.5)
        return first - half, first + half
    return np.minimum(first, second), np.maximum(first, second)


def _warp(node: Node, x: Array) -> Array:
    rows, columns = x.shape
    costs = np.full((rows + 1, columns + 1), np.inf, np.float32)
    costs[0, 0] = 0
    steps = np.zeros(x.shape, int)
    with np.errstate(invalid="ignore", over="ignore"):
        for i, j in np.ndindex(rows, columns):
            both, above, left = costs[i, j], costs[i, j + 1], costs[i + 1, j]
            step = 0 if both < above and both < left else 1 if above < both and above < left else 2
            steps[i, j] = step
            costs[i + 1, j + 1] = (both, above, left)[step] + x[i, j]
    path, i, j = list[tuple[int, int]](), rows - 1, columns - 1
    while i >= 0 and j >= 0:
        path.append((i, j))
        taken = int(steps[i, j])
        i, j = i - (taken != 2), j - (taken != 1)
    result = np.full(node.out.shape, -1, np.int32)
    result[:, : len(path)] = np.array(path[::-1], np.int32).T
    return result


def _infer_warp(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    if args[0].dtype != "float32" or len(args[0].shape) != 2:
        raise ValueError(f"through {args[0]}")
    return Tensor((2, sum(args[0].shape)), "int32")


OPERATORS = (
    # boxes [batches, n, 4], scores [batches, classes, n], and one number each: how many are wanted
    # of a class, the share of overlap above which a box suppresses another one, and the score that
    # candidates exceed where there is a ``threshold``. ``center``: boxes are a center and sizes,
    # not two corners. Gives their numbers, the best first, then -1.
    Anchor(
        "suppress", 5, _suppress, count=lambda node, args: 20 * node.out.size * args[1].shape[2]
    ),
    # The cheapest way through a matrix [rows, columns], of steps to the next row, column or both:
    # the rows that it goes through, and the columns; then -1. Where two of the three elements
    # before are the cheapest, it comes from the column before, as in ONNX Runtime, be that one of
    # them or not.
    Anchor("warp", 1, _warp, _infer_warp, count=lambda node, args: 3 * args[0].size),
    # The coordinates of elements that are not zero, a row for each dimension, in row-major order:
    # as many as the result has room for. Where they are fewer, zeros follow.
    Anchor("nonzero", 1, _nonzero, count=lambda node, args: 2 * args[0].size),
)
