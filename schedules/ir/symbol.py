"""Sizes that have a name, and which numbers they may be."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import ModelError

NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
NUMBER = r"(?:0|[1-9][0-9]{0,17})"
_RANGE = re.compile(rf"({NAME})=({NUMBER})\.\.({NUMBER})")
_LIST = re.compile(rf"({NAME})=({NUMBER}(?:,{NUMBER})*)")


@dataclass(frozen=True)
class Symbol:
    """A size from ``least`` to ``most`` elements; where ``exact`` are given, one of these."""

    name: str
    least: int
    most: int
    exact: tuple[int, ...] = ()

    def __contains__(self, size: int) -> bool:
        return size in self.exact if self.exact else self.least <= size <= self.most

    def __str__(self) -> str:
        sizes = ",".join(map(str, self.exact)) if self.exact else f"{self.least}..{self.most}"
        return f"{self.name}={sizes}"

    @staticmethod
    def of(name: str, exact: tuple[int, ...]) -> Symbol:
        """One of some sizes."""
        return Symbol(name, min(exact), max(exact), tuple(sorted(set(exact))))

    @staticmethod
    def parse(text: str) -> Symbol:
        """Read what ``str`` wrote; raises ModelError."""
        if match := _LIST.fullmatch(text):
            return Symbol.of(match[1], tuple(map(int, match[2].split(","))))
        match = _RANGE.fullmatch(text)
        if not match or int(match[2]) > int(match[3]):
            raise ModelError(
                f"{text[:80]!r} is not a range of sizes such as 'tokens=1..512', nor a list of "
                "them such as 'batch=1,4,8'"
            )
        return Symbol(match[1], int(match[2]), int(match[3]))
