"""What stands for texts: numbers of a list, or rows of bytes; and the tables that lookups need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from luthier.schedules import ModelError
from luthier.schedules.ops.texts import MOST_MULTIPLIER, hashes, rows

from ...graph import Array

Texts: TypeAlias = "tuple[str, ...]"
NARROWEST = 2
"""Bytes of a row."""
_TRIES = 64


@dataclass(frozen=True)
class Numbers:
    """In place of texts of so many dimensions, None where that is not known: int64, each the place
    of a text in a list."""

    texts: Texts
    rank: int | None

    def of_rank(self, rank: int | None) -> Numbers:
        """The same of another number of dimensions."""
        return Numbers(self.texts, rank)


@dataclass(frozen=True)
class Rows:
    """In place of texts of so many dimensions: uint8, in one more of ``width`` bytes."""

    width: int
    rank: int

    def of_rank(self, rank: int | None) -> Rows:
        """The same of another number of dimensions, which must be known."""
        return Rows(self.width, self.rank if rank is None else rank)


def decoded(given: Sequence[bytes], what: str) -> Texts:
    """A model's own texts; raises ModelError, which says ``what`` they are."""
    try:
        texts = tuple(each.decode() for each in given)
    except UnicodeDecodeError as error:
        raise ModelError(f"{what}: a text is not UTF-8") from error
    if any("\0" in text for text in texts):
        raise ModelError(f"{what}: a text has a zero byte")
    return texts


def table(texts: Sequence[str]) -> Array:
    """Texts as rows [number, width], as wide as the longest."""
    given = [text.encode() for text in texts]
    width = max([NARROWEST, *map(len, given)])
    return rows(given, (len(given), width))


@dataclass(frozen=True)
class Lookup:
    """What finds texts of ``width`` bytes among keys, see ``text_place``; ``order`` has the number
    of each key in the order in which they are found, or -1 where a key stands for none."""

    keys: Array
    hashes: Array
    multipliers: Array
    order: Array

    @staticmethod
    def of(texts: Sequence[str], width: int) -> Lookup:
        """Of the first of those that are equal; longer ones are never found. Raises ModelError."""
        places: dict[bytes, int] = {}
        for place, text in enumerate(texts):
            if len(text.encode()) <= width:
                places.setdefault(text.encode(), place)
        places = places or {b"": -1}
        keys = rows(list(places), (len(places), width))
        for seed in range(_TRIES):
            rng: Any = np.random.default_rng(seed)
            multipliers = rng.integers(1, MOST_MULTIPLIER, width, np.int64)
            found = hashes(keys, multipliers)
            by_hash = np.argsort(found, kind="stable")
            ordered = found[by_hash]
            if np.all(ordered[1:] > ordered[:-1]):
                order = np.asarray(list(places.values()), np.int64)[by_hash]
                return Lookup(keys[by_hash], ordered, multipliers, order)
        raise ModelError(f"{len(keys)} texts have no hashes that differ")
