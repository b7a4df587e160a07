"""A forest that is cut into blocks of some levels, whose nodes compare bytes.

A row's bytes are by *columns*. A column is an element of the row, or what it is negated, and at
most 255 thresholds that nodes compare it with, in order. Its byte is how many of these the element
is not at most: the element is at most the i-th where the byte is at most i, and NaN is at most
none. An element with more thresholds has more columns.

A *block* is a node and those below it in the next levels, as a heap whose first place is 1: after
place i come 2 i, the first child, and 2 i + 1. What is below a leaf is the leaf. The places after
the last level are the block's *ends*. An end leads to the block of the node there; where that is a
leaf, back to its own block, in which the same row comes to the same end, however often. The first
blocks are the trees', in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .forest import EQUAL, FEATURES, NAN_IS_TRUE, Array, Forest, Ints

LEVELS = (3, 4, 5, 6)
"""How many a block may have: the nodes of six are bits of a word."""
THRESHOLDS, MOST_COLUMNS = 255, 256
TRUE = 255
"""What every byte is at most."""


@dataclass(frozen=True)
class Columns:
    """``feature`` and ``negated`` of each column, and ``threshold``, [columns, 256], with infinity
    after the last. ``column`` and ``code`` are of each node: the place of its threshold."""

    feature: Ints
    negated: NDArray[np.bool_]
    threshold: Array
    column: Ints
    code: Ints


def columns_of(forest: Forest) -> Columns:
    """The columns of what its nodes compare; those that compare nothing have the code ``TRUE``."""
    _, _, compares = _ways(forest)
    at = np.flatnonzero(compares)
    element = (forest.feature[at] & (FEATURES - 1)) * 2 + (forest.feature[at] < 0)
    threshold = forest.threshold[at]
    order = np.lexsort((threshold, element))
    e, t = element[order], threshold[order]
    fresh = np.ones(at.size, np.bool_)
    fresh[1:] = (e[1:] != e[:-1]) | (t[1:] != t[:-1])
    pair_element, pair_threshold = e[fresh], t[fresh]
    rank = np.arange(pair_element.size) - np.searchsorted(pair_element, pair_element)
    code = rank % THRESHOLDS
    column = np.cumsum(code == 0) - 1
    begins = pair_element[code == 0]
    table = np.full((begins.size, THRESHOLDS + 1), np.inf, threshold.dtype)
    table[column, code] = pair_threshold
    pair = np.cumsum(fresh) - 1
    of_node = np.zeros(compares.size, np.int64)
    at_node = np.full(compares.size, TRUE)
    of_node[at[order]], at_node[at[order]] = column[pair], code[pair]
    return Columns(begins // 2, begins % 2 == 1, table, of_node, at_node)


def columns_needed(forest: Forest) -> int:
    """How many columns; 0 where bytes cannot tell what its nodes ask, or there are too many."""
    if (forest.feature & (EQUAL | NAN_IS_TRUE)).any():
        return 0
    count = columns_of(forest).feature.size
    return count if count <= MOST_COLUMNS else 0


def counts(forest: Forest) -> dict[str, Any]:
    """What an operator's attributes say of it: ``columns``, and ``blocks`` by ``LEVELS``."""
    columns = columns_needed(forest)
    return {"columns": columns, "blocks": blocks_by_levels(forest) if columns else ()}


def blocks_by_levels(forest: Forest) -> tuple[int, ...]:
    """How many blocks there are of each of ``LEVELS``."""
    return tuple(block_roots(forest, levels).size for levels in LEVELS)


@dataclass(frozen=True)
class Blocks:
    """``nodes``, [blocks, 2 ** levels], at the places of each heap, its root at 0 too; of its ends
    the ``leaves`` or nodes there, and the blocks that come ``after`` them."""

    nodes: Ints
    leaves: Ints
    after: Ints


def blocks_of(forest: Forest, levels: int) -> Blocks:
    """The forest cut so."""
    first, second, _ = _ways(forest)
    roots = block_roots(forest, levels)
    at = roots[:, None]
    heap = [at]
    for _ in range(levels):
        heap.append(at)
        at = np.stack([first[at], second[at]], axis=-1).reshape(roots.size, -1)
    number = np.zeros(first.size, np.int64)
    number[roots] = np.arange(roots.size)
    after = np.where(first[at] == at, np.arange(roots.size)[:, None], number[at])
    return Blocks(np.concatenate(heap, axis=1), at, after)


def block_roots(forest: Forest, levels: int) -> Ints:
    """The node that each block begins with."""
    first, second, _ = _ways(forest)
    known = np.zeros(first.size, np.bool_)
    found, fresh = [], forest.roots
    while fresh.size:
        known[fresh] = True
        found.append(fresh)
        at = fresh
        for _ in range(levels):
            at = at[first[at] != at]
            at = np.unique(np.concatenate([first[at], second[at]]))
        fresh = at[(first[at] != at) & ~known[at]]
    return np.concatenate(found)


def _ways(forest: Forest) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """The next node where a comparison is false and where it is true, a leaf's itself, and which
    nodes compare: nothing is at most NaN."""
    first = forest.children
    compares = (first != np.arange(first.size)) & ~np.isnan(forest.threshold)
    return first, first + compares, compares
