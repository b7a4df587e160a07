"""An ensemble of trees as a model lists it, checked, and made of one kind of comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import ModelError
from luthier.schedules.ops.forest import (
    EQUAL,
    FEATURES,
    MOST_WORDS,
    NAN_IS_TRUE,
    NEGATED,
    Forest,
    Layout,
)

from ...graph import Array
from ..node import OnnxNode

Ints = NDArray[np.int64]
MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "LEAF")
LEQ, LT, GTE, GT, EQ, NEQ, LEAF = range(7)
_DEEPEST = 4096
# Rows of weights for all targets may have so many numbers, or so many times those of the model.
_FREE, _TIMES = 1 << 16, 16


@dataclass(frozen=True)
class Listed:
    """Nodes in order: ``mode`` of ``MODES``; ``false`` and ``true`` are numbers of nodes in this
    list, ``nan_is_true`` whether NaN takes the second. ``roots`` are the trees', in order.

    ``weights`` are (node, target, weight) of leaves.
    """

    roots: Ints
    mode: Ints
    feature: Ints
    value: Array
    false: Ints
    true: Ints
    nan_is_true: NDArray[np.bool_]
    weights: tuple[Ints, Ints, Array]


def forest_of(
    node: OnnxNode, listed: Listed, features: int, targets: int, dtype: str, combine: str
) -> tuple[Forest, dict[str, int | str | bool]]:
    """The forest and the attributes of its operator; raises ModelError or UnsupportedOperator."""
    _check(node, listed, features)
    order, tree, depths, roots = _breadth_first(node, listed)
    place = np.full(listed.mode.size, -1)
    place[order] = np.arange(order.size)
    mode, value = listed.mode[order], listed.value[order].astype(dtype)
    bits, threshold, swapped = _comparisons(mode, value, listed.nan_is_true[order])
    is_leaf = mode == LEAF
    first = place[np.where(swapped, listed.true[order], listed.false[order])]
    children = np.where(is_leaf, np.arange(order.size), first)
    # The second child comes right after the first: siblings change places where they must.
    new = _with_siblings_in_order(children, swapped, is_leaf)
    place, children = np.where(place < 0, -1, new[place]), new[children]
    back = np.argsort(new)
    children, bits, threshold, tree = (a[back] for a in (children, bits, threshold, tree))
    feature = np.where(is_leaf, 0, listed.feature[order])[back] + bits
    at, target, weight = listed.weights
    reached = (listed.mode[at] == LEAF) & (place[at] >= 0)
    at, target, weight = place[at[reached]], target[reached], weight[reached].astype(dtype)
    tree_target, row, rows = _weights(
        node, (at, target, weight), tree, depths.size, targets, combine
    )
    leaves = 0 if rows is None else len(rows)
    layout = Layout(depths.size, order.size, leaves, targets, dtype)
    if layout.size > MOST_WORDS // 2:
        raise node.unsupported(f"an ensemble of {order.size} nodes")
    made = Forest(new[roots], depths, tree_target, feature, threshold, children, row, rows)
    return made, {
        "trees": layout.trees,
        "nodes": layout.nodes,
        "leaves": leaves,
        "targets": targets,
        "depth": int(depths.max()),
        "combine": combine,
        "negated": bool((feature < 0).any()),
        "equal": bool((feature & (EQUAL | NAN_IS_TRUE)).any()),
    }


def _check(node: OnnxNode, listed: Listed, features: int) -> None:
    """Each node but the roots is one other's child."""
    inner = listed.mode != LEAF
    if not listed.roots.size:
        raise ModelError(f"{node.label}: the ensemble has no trees")
    reach = listed.feature[inner]
    if features >= FEATURES:
        raise node.unsupported(f"rows of {features} elements")
    if reach.size and not 0 <= reach.min() <= reach.max() < features:
        wrong = reach[(reach < 0) | (reach >= features)][0]
        raise ModelError(
            f"{node.label}: a node compares element {wrong} of a row, which has {features}"
        )
    children = np.concatenate([listed.false[inner], listed.true[inner], listed.roots])
    if np.bincount(children, minlength=1).max() > 1:
        raise ModelError(
            f"{node.label}: two branches of a tree lead to the same node, or to a root"
        )


def _breadth_first(node: OnnxNode, listed: Listed) -> tuple[Ints, Ints, Ints, Ints]:
    """The nodes tree by tree, breadth first, the false child before the true one; of each its tree,
    of each tree its depth and where in this order its root is."""
    levels, trees = [listed.roots], [np.arange(listed.roots.size)]
    depths = np.zeros(listed.roots.size, np.int64)
    while True:
        inner = listed.mode[levels[-1]] != LEAF
        if not inner.any():
            break
        if len(levels) > _DEEPEST:
            raise node.unsupported(f"a tree of more than {_DEEPEST} levels")
        above = levels[-1][inner]
        levels.append(np.stack([listed.false[above], listed.true[above]], axis=1).reshape(-1))
        trees.append(np.repeat(trees[-1][inner], 2))
        depths[trees[-1]] = len(levels) - 1
    nodes, tree = np.concatenate(levels), np.concatenate(trees)
    order = np.argsort(tree, kind="stable")
    return nodes[order], tree[order], depths, np.searchsorted(tree[order], np.arange(depths.size))


def _comparisons(
    mode: Ints, value: Array, nan: NDArray[np.bool_]
) -> tuple[Ints, Array, NDArray[np.bool_]]:
    """Each as one that is true where an element, or what it is negated, is at most a threshold:
    bits of the feature, thresholds, and whether what was true is false now.

    ``x < t`` is ``x <= u`` where u is the float below t, ``x > t`` is ``-x < -t``, and what is true
    for NaN is the opposite of what is not.
    """
    below = _below(value)
    below_negated = _below(-value)
    is_order = mode <= GT
    swapped = np.where(is_order, nan & ~np.isnan(value), mode == NEQ)
    # What is true where the opposite is false, and the other way round.
    as_if = np.where(swapped & is_order, np.choose(np.minimum(mode, GT), (GT, GTE, LT, LEQ)), mode)
    threshold = np.select(
        [as_if == LT, as_if == GTE, as_if == GT], [below, -value, below_negated], value
    )
    threshold = np.where(mode == LEAF, np.nan, threshold).astype(value.dtype)
    bits = np.where((as_if == GTE) | (as_if == GT), NEGATED, 0)
    bits |= np.where((mode == EQ) | (mode == NEQ), EQUAL, 0)
    only_nan = nan & ((mode == EQ) | (is_order & np.isnan(value)))
    bits |= np.where(only_nan, NAN_IS_TRUE, 0)
    return bits, threshold, swapped


def _below(value: Array) -> Array:
    """The largest float that is smaller; NaN where there is none."""
    infinity = np.asarray(-np.inf, value.dtype)
    return np.where(value == infinity, np.nan, np.nextafter(value, infinity)).astype(value.dtype)


def _with_siblings_in_order(
    children: Ints, swapped: NDArray[np.bool_], is_leaf: NDArray[np.bool_]
) -> Ints:
    """New numbers of nodes: those of two siblings change places where their parent is swapped."""
    new = np.arange(children.size)
    second = children[swapped & ~is_leaf]  # the true child, which lies after the false one
    new[second], new[second - 1] = second - 1, second
    return new


def _weights(
    node: OnnxNode,
    weights: tuple[Ints, Ints, Array],
    tree: Ints,
    trees: int,
    targets: int,
    combine: str,
) -> tuple[Ints, Array, Array | None]:
    """Of each tree its target, of each node its weight or row of weights, and the rows.

    Leaves have one weight each where a tree is for one target alone; else a weight for each target.
    """
    at, target, weight = weights
    if target.size and not 0 <= target.min() <= target.max() < targets:
        raise ModelError(f"{node.label}: a leaf's weight is for target {target.max()} of {targets}")
    if np.unique(at * targets + target).size < at.size:
        raise ModelError(f"{node.label}: a leaf has two weights for the same target")
    ordered = combine != "sum"
    if ordered and np.isnan(weight).any():
        raise ModelError(f"{node.label}: a weight is NaN where the least or largest is asked for")
    tree_target = np.zeros(trees, np.int64)
    tree_target[tree[at]] = target
    dtype = weight.dtype
    if bool((tree_target[tree[at]] == target).all()) and np.unique(at).size == at.size:
        every = np.zeros(tree.size, dtype)
        every[at] = weight
        _check_all(node, at.size, tree, ordered)
        if ordered and np.unique(tree_target).size < targets:
            raise node.unsupported("the least or largest of no weight")
        return tree_target, every, None
    with_weights, row_of = np.unique(at, return_inverse=True)
    count = with_weights.size + 1
    if count * targets > max(_FREE, _TIMES * at.size):
        raise node.unsupported(f"leaves with weights for few of {targets} targets")
    if ordered and at.size < with_weights.size * targets:
        raise node.unsupported("the least or largest of leaves without some weight")
    _check_all(node, with_weights.size, tree, ordered)
    rows = np.zeros((count, targets), dtype)
    rows[row_of.reshape(-1), target] = weight
    row = np.full(tree.size, count - 1)
    row[with_weights] = np.arange(with_weights.size)
    return np.zeros(trees, np.int64), row, rows


def _check_all(node: OnnxNode, with_weights: int, tree: Ints, ordered: bool) -> None:
    """That leaves without a weight are none where they would count."""
    leaves = (tree.size + np.unique(tree).size) // 2  # of trees whose inner nodes have two children
    if ordered and with_weights < leaves:
        raise node.unsupported("the least or largest of leaves without a weight")


def listed_by_ids(
    node: OnnxNode,
    trees: Ints,
    ids: Ints,
    children: tuple[Ints, Ints],
    is_leaf: NDArray[np.bool_],
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Nodes that are named by their tree and a number in it: the roots, false and true children as
    numbers in the list, and what finds others: their sorted keys and places."""
    if not trees.size:
        raise ModelError(f"{node.label}: the ensemble has no nodes")
    begins = np.concatenate([[0], np.flatnonzero(trees[1:] != trees[:-1]) + 1])
    if np.unique(trees).size < begins.size:
        raise node.unsupported("a tree whose nodes do not follow one another")
    keys = _keys(trees, ids)
    order = np.argsort(keys, kind="stable")
    known = keys[order]
    if (known[1:] == known[:-1]).any():
        raise ModelError(f"{node.label}: two nodes of a tree have the same number")
    found = []
    for what, child in zip(("false", "true"), children, strict=True):
        place = place_of(_keys(trees, child), known, order)
        lost = (place < 0) & ~is_leaf
        if lost.any():
            at = int(np.flatnonzero(lost)[0])
            raise ModelError(
                f"{node.label}: the {what} child of node {ids[at]} in tree {trees[at]} is number "
                f"{child[at]}, which is not there"
            )
        found.append(np.where(is_leaf, 0, place))
    return begins, found[0], found[1], known, order


def _keys(trees: Ints, ids: Ints) -> Array:
    """One number for both, which must be in what 32 bits hold; others are none's."""
    fits = (np.abs(trees) < 2**31) & (np.abs(ids) < 2**31)
    return np.where(fits, (trees << 32) + (ids & 0xFFFFFFFF), np.iinfo(np.int64).min)


def place_of(keys: Array, known: Array, order: Ints) -> Ints:
    """Where each key is in the list; -1 where it is not."""
    at = np.minimum(np.searchsorted(known, keys), known.size - 1)
    return np.where(known[at] == keys, order[at], -1)


def keys_of(trees: Ints, ids: Ints) -> Array:
    """As the nodes of ``listed_by_ids`` are found."""
    return _keys(trees, ids)


def same_length(node: OnnxNode, named: Sequence[tuple[str, Array]]) -> None:
    """Raise ModelError unless all are as long as the first."""
    first, lengths = named[0], {name: array.size for name, array in named}
    for name, length in lengths.items():
        if length != first[1].size:
            raise ModelError(
                f"{node.label}: '{name}' has {length} numbers, and '{first[0]}' has {first[1].size}"
            )
