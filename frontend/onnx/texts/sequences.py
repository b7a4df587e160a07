"""Sequences of texts: rows that are all as wide."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .speller import Site
from .values import Rows


def _construct(site: Site) -> None:
    every = range(len(site.node.input))
    width = site.width(*site.texts)
    site.copy([site.rows(i, width) for i in every])
    site.gives(0, Rows(width, max(site.rank(i) for i in every)))


def _same(site: Site) -> None:
    """An element, or a sequence with one fewer."""
    site.copy([site.rows(0), *site.node.input[1:]])
    site.gives(0, Rows(site.width(0), site.rank(0)))


def _insert(site: Site) -> None:
    if site.width(1) > site.width(0):
        raise site.refuse("a text that is longer than those of the sequence may be")
    site.copy([site.rows(0), site.rows(1, site.width(0)), *site.node.input[2:]])
    site.gives(0, Rows(site.width(0), site.rank(0)))


def _length(site: Site) -> None:
    site.copy([site.rows(0)])


def _joined(site: Site) -> None:
    stacked = int(site.attrs.get("new_axis", 0))
    rank = site.rank(0) + stacked
    site.copy([site.rows(0)], axis=int(site.attrs["axis"]) % max(rank, 1))
    site.gives(0, Rows(site.width(0), rank))


def _split(site: Site) -> None:
    rank = site.rank(0)
    axis = int(site.attrs.get("axis", 0)) % max(rank, 1)
    alone = not site.attrs.get("keepdims", 1) and not site.name(1)
    site.copy([site.rows(0), *site.node.input[1:]], axis=axis)
    site.gives(0, Rows(site.width(0), rank - alone))


OPERATORS: Mapping[str, Callable[[Site], None]] = {
    "ConcatFromSequence": _joined,
    "SequenceAt": _same,
    "SequenceConstruct": _construct,
    "SequenceErase": _same,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split,
}
