"""Trees of libraries of gradient boosting, spelled by comparisons of ONNX-ML.

A library's node divides the line of a feature's values by some *cuts* into intervals, which lead to
one child and the other in turns: one cut for a comparison, two for each run of categories that
follow one another, some where values near zero are missing ones. So categories cost the logarithm
of their number, and NaN goes where the library says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

from luthier.schedules import ModelError

DOMAIN, DOMAIN_VERSION = "ai.onnx.ml", 3


class Cut(NamedTuple):
    """Between values below ``at``, with it where ``inclusive``, and those above."""

    at: float
    inclusive: bool


@dataclass(frozen=True)
class Split:
    """An inner node. ``cuts`` ascend; values before the first go to node ``low``, those between it
    and the second to ``high``, the next to ``low`` again. NaN goes to ``low`` or to ``high``."""

    feature: int
    cuts: Sequence[Cut]
    low: int
    high: int
    nan_is_low: bool


Node: TypeAlias = Split | float | tuple[float, ...]
"""An inner node, or what a leaf adds, which may be several numbers: for targets that follow one
another."""


@dataclass(frozen=True)
class Tree:
    """``nodes``, of which the first is the root, add to a row's sum for ``target``, and for those
    after it where leaves have several numbers."""

    nodes: Sequence[Node]
    target: int


def with_zone(cuts: Sequence[Cut], low: Cut, high: Cut, *, is_low: bool) -> list[Cut]:
    """The cuts that send what lies between two others the way of the first interval, or the other
    way, and all else the way that it went."""
    kind = 0 if is_low else 1
    before = [cut for cut in cuts if cut < low]
    after = [cut for cut in cuts if cut > high]
    begins = [low] if len(before) % 2 != kind else []
    ends = [high] if (len(cuts) - len(after)) % 2 != kind else []
    return [*before, *begins, *ends, *after]


def around(values: Sequence[int], *, toward_zero: bool) -> list[Cut]:
    """The cuts around whole numbers from 0 on, which ascend: each stands for what is rounded to it.

    Numbers are rounded down, or ``toward_zero``, where those between -1 and 0 become 0.
    """
    cuts: list[Cut] = []
    for value in values:
        if cuts and cuts[-1] == Cut(float(value), inclusive=False):
            cuts.pop()
        elif value == 0 and toward_zero:
            cuts.append(Cut(-1.0, inclusive=True))
        else:
            cuts.append(Cut(float(value), inclusive=False))
        cuts.append(Cut(float(value + 1), inclusive=False))
    return cuts


@dataclass
class _Lists:
    """The attributes of an ensemble, which grow."""

    nodes: dict[str, list[Any]] = field(
        default_factory=lambda: {
            name: []
            for name in (
                "treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids",
                "missing_value_tracks_true",
            )
        }
    )  # fmt: skip
    values: list[float] = field(default_factory=list)
    leaves: list[tuple[int, int, int, float]] = field(default_factory=list)

    def add(
        self, tree: int, node: int, feature: int, cut: Cut | None, to: tuple[int, int, bool]
    ) -> None:
        """A node that leads ``to`` a true child and a false one; NaN to the true one, or not."""
        mode = "LEAF" if cut is None else "BRANCH_LEQ" if cut.inclusive else "BRANCH_LT"
        row = (tree, node, feature, mode, to[0], to[1], int(to[2]))
        for items, item in zip(self.nodes.values(), row, strict=True):
            items.append(item)
        self.values.append(0.0 if cut is None else cut.at)


def ensemble(
    trees: Sequence[Tree], targets: int, features: int, dtype: str, x: str, y: str, where: str
) -> onnx.NodeProto:
    """The node that sums over ``trees``: of ``x`` [rows, features] ``y`` [rows, targets], float32.

    Elements are compared and summed in ``dtype``. Raises ModelError for what is not a tree.
    """
    lists = _Lists()
    for number, tree in enumerate(trees):
        _check(tree, features, f"{where}: tree {number}")
        _add(lists, number, tree)
    as_tensors = {
        "nodes_values": lists.values,
        "target_weights": [weight for *_, weight in lists.leaves],
    }
    given: dict[str, Any] = {f"nodes_{name}": items for name, items in lists.nodes.items()}
    for at, name in enumerate(("treeids", "nodeids", "ids")):
        given[f"target_{name}"] = [leaf[at] for leaf in lists.leaves]
    for name, numbers in as_tensors.items():
        array = np.asarray(numbers, dtype)
        is_double = dtype == "float64"  # a list has float32 alone
        key = f"{name}_as_tensor" if is_double else name
        given[key] = numpy_helper.from_array(array, name) if is_double else array.tolist()
    return helper.make_node(
        "TreeEnsembleRegressor", [x], [y], domain=DOMAIN, n_targets=targets, **given
    )


def _check(tree: Tree, features: int, where: str) -> None:
    """Raise ModelError unless each node is there, and is the child of one at most."""
    seen = np.zeros(len(tree.nodes), np.bool_)
    pending = [0]
    while pending:
        at = pending.pop()
        if not 0 <= at < len(tree.nodes):
            raise ModelError(f"{where}: a branch leads to node {at}, which is not there")
        if seen[at]:
            raise ModelError(f"{where}: two branches lead to node {at}")
        seen[at] = True
        node = tree.nodes[at]
        if isinstance(node, Split):
            if not 0 <= node.feature < features:
                raise ModelError(
                    f"{where}: node {at} asks for feature {node.feature} of {features}"
                )
            pending += (node.low, node.high)


def _add(lists: _Lists, number: int, tree: Tree) -> None:
    """The nodes from the root on; those that are for cuts alone come after all others."""
    fresh = len(tree.nodes)
    pending = [0]
    while pending:
        at = pending.pop()
        node = tree.nodes[at]
        if isinstance(node, Split):
            fresh = _add_split(lists, number, at, node, fresh)
            pending += (node.high, node.low)
        else:
            lists.add(number, at, 0, None, (0, 0, False))
            weights = node if isinstance(node, tuple) else (node,)
            lists.leaves += (
                (number, at, tree.target + i, float(weight)) for i, weight in enumerate(weights)
            )


def _add_split(lists: _Lists, number: int, at: int, split: Split, fresh: int) -> int:
    """A binary search of the intervals; gives the next number of a node that is not taken."""
    cuts = split.cuts or [Cut(float("inf"), inclusive=True)]
    # NaN goes the way to an interval of its child: the first or the second one.
    nan = 0 if split.nan_is_low else 1
    pending = [(at, 0, len(cuts))]  # a node, and the intervals between which it decides

    while pending:
        node, first, last = pending.pop()
        middle = (first + last) // 2
        ends = []
        for begin, end in ((first, middle), (middle + 1, last)):
            if begin == end:
                ends.append(split.high if begin % 2 else split.low)
            else:
                pending.append((fresh, begin, end))
                ends.append(fresh)
                fresh += 1
        lists.add(number, node, split.feature, cuts[middle], (ends[0], ends[1], nan <= middle))
    return fresh


def single_leaves(weights: Iterable[float]) -> list[Tree]:
    """Trees without a split, one for each target: what each sum begins with."""
    return [Tree([weight], target) for target, weight in enumerate(weights)]
