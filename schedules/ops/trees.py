"""Ensembles of decision trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.workload import Node, Tensor
from .forest import Forest, Layout
from .forest_blocks import THRESHOLDS, blocks_by_levels, columns_of
from .operator import Anchor, Array, Attrs

COMBINED: Mapping[str, tuple[Any, float]] = {
    "sum": (np.add, 0.0),
    "min": (lambda old, new: np.where(new < old, new, old), np.inf),
    "max": (lambda old, new: np.where(new > old, new, old), -np.inf),
}
"""How the trees' weights become a target's, in the trees' order, and what that begins with."""


def layout_of(node: Node) -> Layout:
    """Of the table that an ensemble reads."""
    return Forest.layout_of(dict(node.attrs), node.out.dtype)


def _infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    x, table = args
    layout = Forest.layout_of(attrs, x.dtype)
    if table != Tensor((layout.size,), "int32"):
        raise ValueError(f"a table {table} of {layout.size} words")
    return Tensor((x.shape[0], layout.targets), x.dtype)


def _evaluate(node: Node, x: Array, table: Array) -> Array:
    forest = Forest.of(table, layout_of(node))
    combine, start = COMBINED[node.attr("combine")]
    result = np.full(node.out.shape, start, x.dtype)
    for tree, target in enumerate(forest.targets):
        leaves = forest.leaves(tree, x)
        weight = forest.weight[leaves]
        with np.errstate(invalid="ignore", over="ignore"):
            if forest.weights is None:
                result[:, target] = combine(result[:, target], weight)
            else:
                result = combine(result, forest.weights[weight.astype(np.int64)])
    return result


def _count(node: Node, args: Sequence[Tensor]) -> int:
    return 2 * int(node.attr("trees")) * int(node.attr("depth")) * args[0].shape[0]


def _sample(node: Node, index: int, features: int, rng: np.random.Generator) -> Array | None:
    """A table of such trees for measurements: all are heaps as large as the nodes allow."""
    if index != 1:
        return None
    layout, depth = layout_of(node), int(node.attr("depth"))
    each = min(layout.nodes // layout.trees, 2 ** min(depth + 1, 30) - 1)
    each -= 1 - each % 2
    forest = _heaps(node, layout, each, features, rng)
    while each > 1 and _outgrows(forest, node):
        each = each // 4 * 2 + 1
        forest = _heaps(node, layout, each, features, rng)
    return forest.table(layout)


def _outgrows(forest: Forest, node: Node) -> bool:
    """Whether it takes more columns or blocks of comparisons of bytes than there are to be."""
    if not node.attr("columns", 0):
        return False
    columns, blocks = columns_of(forest), blocks_by_levels(forest)
    more = (a > b for a, b in zip(blocks, node.attr("blocks"), strict=True))
    return columns.feature.size > node.attr("columns") or any(more)


def _heaps(
    node: Node, layout: Layout, each: int, features: int, rng: np.random.Generator
) -> Forest:
    """Trees of so many nodes; thresholds of so few numbers that they take no more columns than
    there are to be."""
    depth, columns = int(node.attr("depth")), node.attr("columns", 0)
    place = np.arange(layout.nodes)
    within = np.where(place < each * layout.trees, place % each, each)
    inner = 2 * within + 2 < each
    flags = np.where(rng.random(layout.nodes) < 0.5, node.attr("negated"), 0) * -(2**31)
    threshold = rng.uniform(-1, 1, layout.nodes)
    if columns:
        features = min(features, max(1, columns // (2 if node.attr("negated") else 1)))
        threshold = np.round(threshold * (THRESHOLDS // 2)) / THRESHOLDS
        flags = flags if columns > 1 else np.zeros_like(flags)
    return Forest(
        roots=each * np.arange(layout.trees),
        depths=np.full(layout.trees, depth),
        targets=np.arange(layout.trees) % (1 if layout.leaves else layout.targets),
        feature=np.where(inner, rng.integers(0, features, layout.nodes) + flags, 0),
        threshold=np.where(inner, threshold, np.nan).astype(layout.dtype),
        children=np.where(inner, place + within + 1, place),
        weight=rng.integers(0, layout.leaves, layout.nodes)
        if layout.leaves
        else rng.uniform(-1, 1, layout.nodes).astype(layout.dtype),
        weights=rng.uniform(-1, 1, (layout.leaves, layout.targets)).astype(layout.dtype)
        if layout.leaves
        else None,
    )


OPERATORS = (
    # x [n, features], a table of int32 words (see ``forest``); trees, nodes, leaves, targets,
    # depth: of the deepest, combine: "sum", "min" or "max", negated and equal: whether a node has
    # such bits, columns and blocks: how many, of ``forest_blocks``. Gives [n, targets], combined in
    # the order of the trees.
    Anchor("tree_ensemble", 2, _evaluate, _infer, count=_count, sample=_sample),
)
