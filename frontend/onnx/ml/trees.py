"""ONNX-ML's ensembles of trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.schedules import ModelError
from luthier.schedules.ops.trees import COMBINED

from ...graph import Array
from ..node import OnnxNode, Operator
from . import attributes, scores
from .ensemble import (
    LEAF,
    MODES,
    Listed,
    forest_of,
    keys_of,
    listed_by_ids,
    place_of,
    same_length,
)
from .nodes import listed_by_places

_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


def _regressor(node: OnnxNode) -> int:
    """Of one target the score itself, whatever the transform but PROBIT, as in ONNX Runtime."""
    targets = _count(node, int(node.attr("n_targets", 1)))
    how = attributes.chosen(node, "aggregate_function", "SUM", _AGGREGATES)
    x, dtype = rows(node)
    combine = how.lower() if how in ("MIN", "MAX") else "sum"
    listed = _by_ids(node, "target", dtype)
    y, trees = _ensemble(node, listed, x, targets, dtype, combine)
    y = _with_base(node, y, trees, how, attributes.floats(node, "base_values", dtype), targets)
    transform = attributes.chosen(node, "post_transform", "NONE", scores.TRANSFORMS)
    y = node.t.cast(y, "float32")
    if targets == 1 and transform != "PROBIT":
        return y
    return scores.transformed(node.t, y, transform)


def _classifier(node: OnnxNode) -> Sequence[int]:
    """Labels and scores."""
    labels = attributes.labels(node)
    count = _count(node, labels.size)
    x, dtype = rows(node)
    listed = _by_ids(node, "class", dtype)
    _, target, weight = listed.weights
    y, _ = _ensemble(node, listed, x, count, dtype, "sum")
    base = attributes.floats(node, "base_values", dtype)
    transform = attributes.chosen(node, "post_transform", "NONE", scores.TRANSFORMS)
    classes = scores.Classes(node, labels, frozenset(np.unique(target).tolist()))
    return classes.of_trees(y, base, transform, all_positive=not bool((weight < 0).any()))


def _tree_ensemble(node: OnnxNode) -> int:
    """Of operator set 5: its result has the type of its input."""
    targets = _count(node, int(node.attr("n_targets", 1)))
    number = int(node.attr("aggregate_function", 1))
    transform = int(node.attr("post_transform", 0))
    if not 0 <= number < len(_AGGREGATES) or not 0 <= transform < len(scores.TRANSFORMS):
        raise ModelError(f"{node.label}: its aggregate function or its transform is not known")
    how = _AGGREGATES[number]
    x, dtype = rows(node)
    listed = listed_by_places(node, dtype)
    combine = how.lower() if how in ("MIN", "MAX") else "sum"
    y, trees = _ensemble(node, listed, x, targets, dtype, combine)
    y = _with_base(node, y, trees, how, np.zeros(0), targets)
    name = scores.TRANSFORMS[transform]
    if targets > 1 or name == "PROBIT":
        y = scores.transformed(node.t, y, name)
    return node.t.cast(y, node.dtype)


def rows(node: OnnxNode) -> tuple[int, str]:
    """The input as a matrix, and the type in which it is compared."""
    x, dtype = node.x, node.wide
    if node.rank not in (1, 2):
        raise ModelError(f"{node.label}: its input has {node.rank} dimensions, not 2")
    if node.rank == 1:
        x = node.t.reshape(x, (1, *node.shape))
    return node.t.cast(x, dtype), dtype


def _count(node: OnnxNode, targets: int) -> int:
    if not 1 <= targets < 1 << 24:
        raise ModelError(f"{node.label}: it has {targets} targets or labels")
    return targets


def _by_ids(node: OnnxNode, of: str, dtype: str) -> Listed:
    """Nodes by trees and numbers, of operator sets 1 and 3; ``of`` is "target" or "class"."""
    names = ("treeids", "nodeids", "featureids", "falsenodeids", "truenodeids")
    trees, ids, features, false, true = (attributes.ints(node, f"nodes_{n}") for n in names)
    values = attributes.floats(node, "nodes_values", dtype)
    given = [name.removeprefix("BRANCH_") for name in attributes.texts(node, "nodes_modes")]
    unknown = next((name for name in given if name not in MODES), None)
    if unknown is not None:
        raise node.unsupported(f"a node of mode {unknown[:40]!r}")
    mode = np.array([MODES.index(name) for name in given], np.int64)
    listed = [trees, ids, features, false, true, mode, values]
    labels = [*(f"nodes_{n}" for n in names), "nodes_modes", "nodes_values"]
    same_length(node, list(zip(labels, listed, strict=True)))
    nan = attributes.ints(node, "nodes_missing_value_tracks_true")
    nan = nan == 1 if nan.size == mode.size else np.zeros(mode.size, np.bool_)
    is_leaf = mode == LEAF
    roots, lower, upper, known, order = listed_by_ids(node, trees, ids, (false, true), is_leaf)
    entries = [attributes.ints(node, f"{of}_{n}") for n in ("treeids", "nodeids", "ids")]
    weights = attributes.floats(node, f"{of}_weights", dtype)
    kinds = [*(f"{of}_{n}" for n in ("treeids", "nodeids", "ids")), f"{of}_weights"]
    same_length(node, list(zip(kinds, [*entries, weights], strict=True)))
    at = place_of(keys_of(entries[0], entries[1]), known, order)
    if (at < 0).any():
        first = int(np.flatnonzero(at < 0)[0])
        raise ModelError(
            f"{node.label}: a weight is of node {entries[1][first]} in tree {entries[0][first]}, "
            "which is not there"
        )
    return Listed(roots, mode, features, values, lower, upper, nan, (at, entries[2], weights))


def _ensemble(
    node: OnnxNode, listed: Listed, x: int, targets: int, dtype: str, combine: str
) -> tuple[int, int]:
    """The combined weights and the number of trees."""
    assert combine in COMBINED
    features = node.t.shape(x)[1]
    forest, attrs = forest_of(node, listed, features, targets, dtype, combine)
    table = forest.table(forest.layout_of(attrs, dtype))
    return node.t.emit("tree_ensemble", x, node.t.constant(table), **attrs), int(attrs["trees"])


def _with_base(node: OnnxNode, y: int, trees: int, how: str, base: Array, targets: int) -> int:
    """Divided by the number of trees where it is an average, and with the base values."""
    t, dtype = node.t, node.t.dtype(y)
    if how == "AVERAGE":
        y = t.emit("divide", y, t.number(trees, dtype))
    if base.size == targets:
        y = t.emit("add", y, t.constant(base.astype(dtype)))
    elif base.size:
        raise ModelError(f"{node.label}: it has {base.size} base values and {targets} targets")
    return y


OPERATORS: dict[str, Operator] = {
    "TreeEnsemble": Operator(_tree_ensemble),
    "TreeEnsembleClassifier": Operator(_classifier),
    "TreeEnsembleRegressor": Operator(_regressor),
}
