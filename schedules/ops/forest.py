"""Ensembles of decision trees as one table of int32 words, which kernels read as it is.

A row goes from a tree's root to a leaf. A node compares an element of the row, negated where the
node says so, with its threshold: where that is at most the threshold, the second child is next, and
else, for NaN too, the first, which lies before it. So any comparison, and any way that NaN may go,
is one of these. A leaf's threshold is NaN and its first child the leaf itself: however many steps
are taken, they end there, and no step leaves the table, whatever the row holds.

In the table are, in this order: the trees' roots, their depths and their targets, a word each; the
nodes, tree by tree, breadth first; the rows of weights. Roots, children and rows of weights are
places in elements of the thresholds' type from the table's begin. A node is its threshold, its
feature, its first child, and its weight or the place of its row of weights, each an element where
the type is float32; of float64 the two words of feature and child are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Ints = NDArray[np.int64]

# Bits of a node's feature: compare the negated element; be equal, not at most; take NaN for true.
NEGATED = -(2**31)
EQUAL, NAN_IS_TRUE = 1 << 30, 1 << 29
FEATURES = 1 << 29
"""How many features there may be."""
MOST_WORDS = 2**31 - 1


@dataclass(frozen=True)
class Layout:
    """Where things lie in a table. ``leaves``: rows of ``targets`` weights; 0 where each has one.

    Places are in elements of ``dtype``, those whose names end with ``word`` in words.
    """

    trees: int
    nodes: int
    leaves: int
    targets: int
    dtype: str

    @property
    def words(self) -> int:
        """Words of an element."""
        return 2 if self.dtype == "float64" else 1

    @property
    def stride(self) -> int:
        """Elements of a node."""
        return 3 if self.words == 2 else 4

    @property
    def weight(self) -> int:
        """Where in a node its weight lies, in elements."""
        return self.stride - 1

    @property
    def depth_word(self) -> int:
        """Of the trees' depths."""
        return self.trees

    @property
    def target_word(self) -> int:
        """Of the trees' targets."""
        return 2 * self.trees

    @property
    def first_node(self) -> int:
        """After the trees."""
        return -(-3 * self.trees // self.words)

    @property
    def first_weight(self) -> int:
        """After the nodes."""
        return self.first_node + self.nodes * self.stride

    @property
    def size(self) -> int:
        """Words of the table."""
        return (self.first_weight + self.leaves * self.targets) * self.words


@dataclass(frozen=True)
class Forest:
    """The same as arrays: of trees ``roots``, ``depths``, ``targets``; of nodes the others.

    ``children`` are numbers of nodes, a leaf's its own; ``feature`` has the bits. ``weight`` is a
    leaf's weight, or the number of its row of ``weights``.
    """

    roots: Ints
    depths: Ints
    targets: Ints
    feature: Ints
    threshold: Array
    children: Ints
    weight: Array
    weights: Array | None = None

    @staticmethod
    def layout_of(attrs: Mapping[str, Any], dtype: str) -> Layout:
        """Of the table of an operator with these attributes."""
        trees, nodes, leaves, targets = (
            int(attrs[name]) for name in ("trees", "nodes", "leaves", "targets")
        )
        return Layout(trees, nodes, leaves, targets, dtype)

    def table(self, layout: Layout) -> NDArray[np.int32]:
        """The words."""
        words = np.zeros(layout.size, np.int32)
        numbers = words.view(layout.dtype)
        words[: layout.trees] = layout.first_node + self.roots * layout.stride
        words[layout.depth_word :][: layout.trees] = self.depths
        words[layout.target_word :][: layout.trees] = self.targets
        at = slice(layout.first_node, layout.first_weight)
        nodes = numbers[at].reshape(-1, layout.stride)
        ints = words[at.start * layout.words : at.stop * layout.words]
        ints = ints.reshape(-1, layout.stride * layout.words)
        nodes[:, 0] = self.threshold
        ints[:, layout.words] = self.feature
        ints[:, layout.words + 1] = layout.first_node + self.children * layout.stride
        if self.weights is None:
            nodes[:, layout.weight] = self.weight
        else:
            place = layout.first_weight + self.weight.astype(np.int64) * layout.targets
            ints[:, layout.weight * layout.words] = place
            numbers[layout.first_weight :] = self.weights.reshape(-1)
        return words

    @staticmethod
    def of(table: Array, layout: Layout) -> Forest:
        """What ``table`` gave."""
        words = np.ascontiguousarray(table, np.int32)
        numbers = words.view(layout.dtype)
        at = slice(layout.first_node, layout.first_weight)
        nodes = numbers[at].reshape(-1, layout.stride)
        ints = words[at.start * layout.words : at.stop * layout.words].astype(np.int64)
        ints = ints.reshape(-1, layout.stride * layout.words)
        weight: Array = nodes[:, layout.weight]
        weights: Array | None = None
        if layout.leaves:
            place = ints[:, layout.weight * layout.words] - layout.first_weight
            weight = place // layout.targets
            weights = numbers[layout.first_weight :].reshape(-1, layout.targets)

        def number(place: Array) -> Ints:
            return (place.astype(np.int64) - layout.first_node) // layout.stride

        return Forest(
            number(words[: layout.trees]),
            words[layout.depth_word :][: layout.trees].astype(np.int64),
            words[layout.target_word :][: layout.trees].astype(np.int64),
            ints[:, layout.words],
            nodes[:, 0],
            number(ints[:, layout.words + 1]),
            weight,
            weights,
        )

    def leaves(self, tree: int, x: Array) -> Ints:
        """Of each row the leaf at which a tree ends."""
        rows = np.arange(len(x))
        at = np.full(len(x), self.roots[tree])
        for _ in range(int(self.depths[tree])):
            bits = self.feature[at]
            element = x[rows, bits & (FEATURES - 1)]
            element = np.where(bits < 0, -element, element)
            threshold = self.threshold[at]
            true = element <= threshold
            true &= ((bits & EQUAL) == 0) | (element >= threshold)
            true |= ((bits & NAN_IS_TRUE) != 0) & np.isnan(element)
            at = self.children[at] + true
        return at
