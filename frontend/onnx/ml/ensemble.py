"""An ensemble of trees as a model lists it, checked, and made of one kind of comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from luthier.schedules.ops.forest_blocks import counts

from ...graph import Array
from ..node import OnnxNode

Ints = NDArray[np.int64]
MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "LEAF")
LEQ, LT, GTE, GT, EQ, NEQ, LEAF = range(7)
_DEEPEST = 4096
# Rows of weights for all targets may have so many numbers, or so many times those of the model.
_FREE, _TIMES = 1 << 16, 16
# Nodes are met so often at most on the ways from a root, on average.
_VISITS = 64


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
) -> tuple[Forest, dict[str, Any]]:
    """The forest and the attributes of its operator; raises ModelError or UnsupportedOperator."""
    _check(node, listed, features)
    value = listed.value.astype(dtype)
    bits, threshold, swapped = _comparisons(listed.mode, value, listed.nan_is_true)
    pairs = np.where(swapped, [listed.true, listed.false], [listed.false, listed.true])
    is_leaf = listed.mode == LEAF
    depths = _depths(node, listed.roots, pairs, is_leaf)
    slots = _slots(listed.roots, pairs, is_leaf)
    count = slots.nodes.size
    leaf = is_leaf[slots.nodes]
    children = np.where(leaf, np.arange(count), slots.first[slots.nodes])
    feature = (np.where(is_leaf, 0, listed.feature) + bits)[slots.nodes]
    tree_target, row, rows = _weights(node, listed, slots, leaf, (targets, combine, dtype))
    leaves = 0 if rows is None else len(rows)
    layout = Layout(depths.size, count, leaves, targets, dtype)
    if layout.size > MOST_WORDS // 2:
        raise node.unsupported(f"an ensemble of {count} nodes")
    at = threshold[slots.nodes]
    made = Forest(slots.roots, depths, tree_target, feature, at, children, row, rows)
    return made, {
        "trees": layout.trees,
        "nodes": layout.nodes,
        "leaves": leaves,
        "targets": targets,
        "depth": int(depths.max()),
        "combine": combine,
        "negated": bool((feature < 0).any()),
        "equal": bool((feature & (EQUAL | NAN_IS_TRUE)).any()),
        **counts(made),
    }


def _check(node: OnnxNode, listed: Listed, features: int) -> None:
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


def _depths(node: OnnxNode, roots: Ints, pairs: Ints, is_leaf: NDArray[np.bool_]) -> Ints:
    """Of each tree its longest way to a leaf. Branches may meet, but not lead back."""
    depths, count = np.zeros(roots.size, np.int64), is_leaf.size
    trees, nodes, visits = np.arange(roots.size), roots, roots.size
    for level in range(_DEEPEST + 1):
        depths[trees] = level
        inner = ~is_leaf[nodes]
        if not inner.any():
            return depths
        reached = np.repeat(trees[inner], 2) * count + pairs[:, nodes[inner]].T.reshape(-1)
        trees, nodes = np.divmod(np.unique(reached), count)
        visits += nodes.size
        if visits > _FREE + _VISITS * count:
            break
    raise node.unsupported(
        f"a tree of more than {_DEEPEST} levels, or whose branches meet often or lead back,"
    )


@dataclass(frozen=True)
class _Slots:
    """Nodes in order, ``nodes`` of the list, and the ``tree`` that each is for: a tree's are one
    after the other, breadth first, the children of a node beside each other. A node to which two
    branches lead is there for each, with the same children; ``first`` is where those of a node of
    the list are."""

    nodes: Ints
    tree: Ints
    roots: Ints
    first: Ints


def _slots(roots: Ints, pairs: Ints, is_leaf: NDArray[np.bool_]) -> _Slots:
    levels, trees, parents = [roots], [np.arange(roots.size)], []
    opened = is_leaf.copy()
    while True:
        unique, where = np.unique(levels[-1], return_index=True)
        fresh = np.sort(where[~opened[unique]])
        if not fresh.size:
            break
        above = levels[-1][fresh]
        opened[above] = True
        parents.append(above)
        levels.append(pairs[:, above].T.reshape(-1))
        trees.append(np.repeat(trees[-1][fresh], 2))
    nodes, tree = np.concatenate(levels), np.concatenate(trees)
    order = np.argsort(tree, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    first = np.zeros(is_leaf.size, np.int64)
    if parents:
        first[np.concatenate(parents)] = place[roots.size :: 2]
    return _Slots(nodes[order], tree[order], place[: roots.size], first)


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


def _weights(
    node: OnnxNode,
    listed: Listed,
    slots: _Slots,
    leaf: NDArray[np.bool_],
    wanted: tuple[int, str, str],
) -> tuple[Ints, Array, Array | None]:
    """Of each tree its target, of each slot its weight or row of weights, and the rows.

    Leaves have one weight each where a tree is for one target alone; else a weight for each target.
    """
    targets, combine, dtype = wanted
    ends = listed.mode[listed.weights[0]] == LEAF
    at, target, weight = (each[ends] for each in listed.weights)
    weight = weight.astype(dtype)
    if target.size and not 0 <= target.min() <= target.max() < targets:
        wrong = target[(target < 0) | (target >= targets)][0]
        raise ModelError(f"{node.label}: a leaf's weight is for target {wrong} of {targets}")
    with_weights, row_of = np.unique(at, return_inverse=True)
    if np.unique(at * targets + target).size < at.size:
        raise ModelError(f"{node.label}: a leaf has two weights for the same target")
    ordered, size = combine != "sum", listed.mode.size
    if ordered and np.isnan(weight).any():
        raise ModelError(f"{node.label}: a weight is NaN where the least or largest is asked for")
    has = np.zeros(size, np.bool_)
    has[at] = True
    if ordered and not has[slots.nodes[leaf]].all():
        raise node.unsupported("the least or largest of leaves without a weight")
    tree_target = np.zeros(slots.roots.size, np.int64)
    of = np.zeros(size, np.int64)
    of[at] = target
    weighed = leaf & has[slots.nodes]
    tree, wants = slots.tree[weighed], of[slots.nodes[weighed]]
    tree_target[tree] = wants
    if with_weights.size == at.size and bool((tree_target[tree] == wants).all()):
        if ordered and np.unique(tree_target).size < targets:
            raise node.unsupported("the least or largest of no weight")
        every = np.zeros(size, dtype)
        every[at] = weight
        return tree_target, every[slots.nodes], None
    count = with_weights.size + 1
    if count * targets > max(_FREE, _TIMES * at.size):
        raise node.unsupported(f"leaves with weights for few of {targets} targets")
    if ordered and at.size < with_weights.size * targets:
        raise node.unsupported("the least or largest of leaves without some weight")
    rows = np.zeros((count, targets), dtype)
    rows[row_of.reshape(-1), target] = weight
    row = np.full(size, count - 1)
    row[with_weights] = np.arange(with_weights.size)
    return np.zeros(slots.roots.size, np.int64), row[slots.nodes], rows


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
