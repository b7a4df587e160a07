"""Sets of letters that have names, and which letters differ by case alone."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import groupby

from .syntax import Ranges, joined

_LAST_WITH_CASE = 0x1FFFF
_DIGITS: Ranges = ((0x30, 0x39),)
_UPPER: Ranges = ((0x41, 0x5A),)
_LOWER: Ranges = ((0x61, 0x7A),)
_SPACE: Ranges = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
_WORD = joined([*_DIGITS, *_UPPER, *_LOWER, (0x5F, 0x5F)])
PERL: Mapping[str, Ranges] = {"d": _DIGITS, "s": _SPACE, "w": _WORD}
"""After a backslash."""

POSIX: Mapping[str, Ranges] = {
    "alnum": joined([*_DIGITS, *_UPPER, *_LOWER]),
    "alpha": joined([*_UPPER, *_LOWER]),
    "ascii": ((0x00, 0x7F),),
    "blank": ((0x09, 0x09), (0x20, 0x20)),
    "cntrl": ((0x00, 0x1F), (0x7F, 0x7F)),
    "digit": _DIGITS,
    "graph": ((0x21, 0x7E),),
    "lower": _LOWER,
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((0x09, 0x0D), (0x20, 0x20)),
    "upper": _UPPER,
    "word": _WORD,
    "xdigit": joined([*_DIGITS, (0x41, 0x46), (0x61, 0x66)]),
}
"""In ``[[:name:]]``."""


def category(name: str) -> Ranges | None:
    """The letters of one of Unicode's general categories, such as "Lu" or "L"; None for others."""
    found = [(a, b) for kind, a, b in _categories() if kind == name or kind[0] == name]
    return joined(found) or None


@lru_cache(maxsize=1)
def _categories() -> tuple[tuple[str, int, int], ...]:
    """Each run of letters of one category."""
    found, begin = [], 0
    for kind, run in groupby(map(unicodedata.category, map(chr, range(sys.maxunicode + 1)))):
        size = sum(1 for _ in run)
        if kind != "Cs":
            found.append((kind, begin, begin + size - 1))
        begin += size
    return tuple(found)


def whatever_case(ranges: Ranges) -> Ranges:
    """With the letters that differ from them by case alone."""
    more = [
        (other, other)
        for letter, alike in _alike().items()
        if any(first <= letter <= last for first, last in ranges)
        for other in alike
    ]
    return joined([*ranges, *more])


@lru_cache(maxsize=1)
def _alike() -> Mapping[int, tuple[int, ...]]:
    """Of letters that have a case all that are the same without; by Unicode's simple folding."""
    groups: dict[str, set[int]] = {}
    for letter in range(_LAST_WITH_CASE + 1):
        for other in _cases(chr(letter)):
            groups.setdefault(_folded(chr(letter)), {letter}).update((letter, ord(other)))
    return {letter: tuple(group) for group in groups.values() for letter in group}


def _cases(letter: str) -> Iterator[str]:
    others = {letter.lower(), letter.upper(), letter.casefold()} - {letter}
    return (other for other in others if len(other) == 1)


def _folded(letter: str) -> str:
    """One that all that are alike have in common."""
    folded = letter.casefold()
    return folded if len(folded) == 1 else letter.lower()
