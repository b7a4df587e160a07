"""What a regular expression is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

LAST = 0x10FFFF

Kind: TypeAlias = Literal["begin", "end", "line begin", "line end", "word", "no word"]
Ranges: TypeAlias = "tuple[tuple[int, int], ...]"
"""Letters, by the first and the last of each range: in order, apart from one another."""


class PatternError(Exception):
    """A pattern that is wrong, or that has what is not supported; the text says what."""


@dataclass(frozen=True)
class Letters:
    """One of some letters."""

    ranges: Ranges


@dataclass(frozen=True)
class Edge:
    """The beginning of the text or its end, those of a line, an edge of a word of ASCII's, or where
    none is.
    """

    kind: Kind


@dataclass(frozen=True)
class Row:
    """One after the other; nothing where there are none."""

    parts: tuple[Pattern, ...]


@dataclass(frozen=True)
class Choice:
    """One of some."""

    parts: tuple[Pattern, ...]


@dataclass(frozen=True)
class Repeat:
    """From ``least`` to ``most`` times, None for any number."""

    part: Pattern
    least: int
    most: int | None


Pattern: TypeAlias = "Letters | Edge | Row | Choice | Repeat"


def joined(ranges: Sequence[tuple[int, int]]) -> Ranges:
    """In order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return tuple(found)


def others(ranges: Ranges) -> Ranges:
    """All letters that are not in them."""
    found, begin = [], 0
    for first, last in ranges:
        if first > begin:
            found.append((begin, first - 1))
        begin = last + 1
    return tuple(found) if begin > LAST else (*found, (begin, LAST))
