"""A constant's other order: trees that are filled up to the depth of the deepest, as heaps.

The children of node i are 2 i + 1 and 2 i + 2, so a node is its feature and threshold alone; what
is below a leaf is the leaf. All features are first, then all thresholds, then all leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir.kernel import Packing
from ...ops.forest import FEATURES, Array, Forest, Layout
from .form import Trees


@dataclass(frozen=True)
class Heap:
    """Where things lie behind a table, in elements; ``feature_word`` is in words."""

    layout: Layout
    depth: int
    is_there: bool = True

    @property
    def inner(self) -> int:
        """Nodes of a tree that are not leaves."""
        return (1 << self.depth) - 1

    @property
    def feature_word(self) -> int:
        """Of the first tree's root."""
        return self.layout.size

    @property
    def first_threshold(self) -> int:
        """Of the same."""
        words = self.layout.size + self.layout.trees * self.inner
        return -(-words // self.layout.words)

    @property
    def first_leaf(self) -> int:
        """The first of the first tree."""
        return self.first_threshold + self.layout.trees * self.inner

    @property
    def size(self) -> int:
        """Words of both."""
        if not self.is_there:
            return self.layout.size
        return (self.first_leaf + self.layout.trees * (self.inner + 1)) * self.layout.words

    def packed(self, table: Array, features: int) -> Array:
        """The table, and the trees as heaps behind it; negated elements lie after all others."""
        layout, forest = self.layout, Forest.of(table, self.layout)
        words = np.zeros(self.size, np.int32)
        words[: layout.size] = table
        numbers = words.view(layout.dtype)
        at = forest.roots[:, None]
        column, threshold = [], []
        for _ in range(self.depth):
            bits = forest.feature[at]
            column.append((bits & (FEATURES - 1)) + np.where(bits < 0, features, 0))
            threshold.append(forest.threshold[at])
            first = forest.children[at]
            second = np.where(first == at, at, first + 1)
            at = np.stack([first, second], axis=-1).reshape(layout.trees, -1)
        if self.depth:
            count = layout.trees * self.inner
            words[self.feature_word :][:count] = np.concatenate(column, axis=1).reshape(-1)
            numbers[self.first_threshold :][:count] = np.concatenate(threshold, axis=1).reshape(-1)
        numbers[self.first_leaf :] = forest.weight[at].reshape(-1)
        return words


def packing(form: Trees, heap: Heap) -> Packing:
    """The constant as kernels of the form read it."""
    features = form.features
    return Packing((heap.size,), lambda table: heap.packed(table, features))
