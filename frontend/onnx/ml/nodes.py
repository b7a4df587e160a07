"""Nodes of operator set 5, which name one another and their leaves by their places in lists."""

from __future__ import annotations

import numpy as np

from luthier.schedules import ModelError

from ...graph import Array
from ..node import OnnxNode
from . import attributes
from .ensemble import EQ, LEAF, Ints, Listed, same_length

_MEMBER = 6
# What comes of a node that asks for one of many values is written for each of them: so many nodes
# at most, or so many times those of the model.
_FREE, _TIMES = 1 << 16, 8


class _Nodes:
    """A list that grows; a leaf is written where a branch leads to it."""

    def __init__(self) -> None:
        self.mode: list[int] = []
        self.feature: list[int] = []
        self.value: list[float] = []
        self.branches: list[tuple[int, int]] = []
        self.nan: list[bool] = []
        self.leaf: list[int] = []

    def add(self, mode: int, feature: int, value: float, nan: bool, leaf: int = -1) -> int:
        """The new node's place."""
        self.mode.append(mode)
        self.feature.append(feature)
        self.value.append(value)
        self.branches.append((0, 0))
        self.nan.append(nan)
        self.leaf.append(leaf)
        return len(self.mode) - 1

    def listed(self, starts: list[int], targets: Ints, weights: Array) -> Listed:
        """The same, with the leaves' targets and weights."""
        leaf = np.asarray(self.leaf, np.int64)
        ends = np.flatnonzero(leaf >= 0)
        branches = np.asarray(self.branches, np.int64).reshape(-1, 2)
        return Listed(
            np.asarray(starts, np.int64),
            np.asarray(self.mode, np.int64),
            np.asarray(self.feature, np.int64),
            np.asarray(self.value, weights.dtype),
            branches[:, 0],
            branches[:, 1],
            np.asarray(self.nan, np.bool_),
            (ends, targets[leaf[ends]], weights[leaf[ends]]),
        )


def listed_by_places(node: OnnxNode, dtype: str) -> Listed:
    """The nodes, with those that ask for several values spelled by ones that ask for one."""
    names = ("featureids", "falsenodeids", "falseleafs", "truenodeids", "trueleafs")
    lists = [attributes.ints(node, f"nodes_{name}") for name in names]
    splits = attributes.tensor_of(node, "nodes_splits").astype(dtype)
    modes = attributes.tensor_of(node, "nodes_modes").astype(np.int64)
    labels = [*(f"nodes_{name}" for name in names), "nodes_splits", "nodes_modes"]
    same_length(node, list(zip(labels, [*lists, splits, modes], strict=True)))
    if modes.size and not 0 <= modes.min() <= modes.max() <= _MEMBER:
        raise ModelError(f"{node.label}: a node has the mode {modes.max()}, which is not known")
    nan = attributes.ints(node, "nodes_missing_value_tracks_true")
    missing = nan == 1 if nan.size == modes.size else np.zeros(modes.size, np.bool_)
    leaf_targets = attributes.ints(node, "leaf_targetids")
    leaf_weights = attributes.tensor_of(node, "leaf_weights").astype(dtype)
    same_length(node, [("leaf_targetids", leaf_targets), ("leaf_weights", leaf_weights)])
    roots = attributes.ints(node, "tree_roots")
    members = _sets(node, modes)
    made = _Nodes()
    most = max(_FREE, _TIMES * (modes.size + leaf_weights.size))
    starts: list[int] = []
    # What is to be written: the place in the model's lists, whether it is a leaf, and whose branch.
    pending = [(int(root), False, -1, 0) for root in roots[::-1]]
    while pending:
        at, is_leaf, parent, side = pending.pop()
        if not 0 <= at < (leaf_weights.size if is_leaf else modes.size):
            what = "leaf" if is_leaf else "node"
            raise ModelError(f"{node.label}: a branch leads to {what} {at}, which is not there")
        if len(made.mode) > most:
            raise node.unsupported(f"trees whose branches meet again, of more than {most} nodes")
        if is_leaf:
            new = made.add(LEAF, 0, 0.0, nan=False, leaf=at)
        else:
            feature, false, false_leaf, true, true_leaf = (int(each[at]) for each in lists)
            values = members.get(at)
            equal = values is not None
            mode = EQ if equal else int(modes[at])
            first = float(splits[at]) if values is None else float(values[0])
            new = made.add(mode, feature, first, bool(missing[at]))
            last = new
            pending.append((true, bool(true_leaf), new, 1))
            for value in () if values is None else values[1:]:
                each = made.add(EQ, feature, float(value), nan=False)
                made.branches[last] = (each, made.branches[last][1])
                pending.append((true, bool(true_leaf), each, 1))
                last = each
            pending.append((false, bool(false_leaf), last, 0))
        if parent < 0:
            starts.append(new)
        else:
            lower, upper = made.branches[parent]
            made.branches[parent] = (lower, new) if side else (new, upper)
    return made.listed(starts, leaf_targets, leaf_weights)


def _sets(node: OnnxNode, modes: Ints) -> dict[int, Array]:
    """Of each node that asks for one of several values these, which end with NaN each."""
    given = attributes.tensor_of(node, "membership_values")
    ends = np.flatnonzero(np.isnan(given.astype(np.float64)))
    asking = np.flatnonzero(modes == _MEMBER)
    if ends.size != asking.size:
        raise ModelError(
            f"{node.label}: {asking.size} nodes ask for one of several values, and there are "
            f"{ends.size} sets of them"
        )
    begins = np.concatenate([[0], ends[:-1] + 1]) if ends.size else ends
    found = {}
    for at, begin, end in zip(asking.tolist(), begins.tolist(), ends.tolist(), strict=True):
        if begin == end:
            raise node.unsupported("a node that asks for one of no values")
        found[at] = given[begin:end]
    return found
