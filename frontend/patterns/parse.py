"""Reads the syntax of RE2: https://github.com/google/re2/wiki/Syntax.

What a whole text must match knows no difference between greedy and lazy repetitions, nor between
groups. Not supported, and refused by name: scripts of Unicode, and single bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .letters import PERL, POSIX, category, whatever_case
from .syntax import (
    LAST,
    Choice,
    Edge,
    Kind,
    Letters,
    Pattern,
    PatternError,
    Ranges,
    Repeat,
    Row,
    joined,
)
from .syntax import others as all_but

_LONGEST, _DEEPEST, _MOST = 4096, 64, 1000  # characters, groups within groups, repetitions
_CONTROLS = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_EDGES: Mapping[str, Kind] = {"A": "begin", "z": "end", "b": "word", "B": "no word"}
_SIGNS: Mapping[tuple[str, bool], Kind] = {
    ("^", False): "begin", ("$", False): "end", ("^", True): "line begin", ("$", True): "line end",
}  # fmt: skip
_NOT_SUPPORTED = {"C": "a single byte, \\C,", "X": "\\X"}
_LINE_END = 10


@dataclass(frozen=True)
class _Flags:
    any_case: bool = False
    dot_takes_lines: bool = False
    edges_of_lines: bool = False


def parse(text: str) -> Pattern:
    """The pattern of a text; raises PatternError."""
    if len(text) > _LONGEST:
        raise PatternError(f"it is longer than {_LONGEST} characters")
    reader = _Reader(text)
    found = reader.choice(_Flags(), 0)
    if reader.rest:
        raise PatternError("a ')' closes nothing")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    def sees(self, what: str) -> bool:
        return self.text.startswith(what, self.at)

    def takes(self, what: str) -> bool:
        """Whether it is there; then it is behind."""
        found = self.sees(what)
        self.at += len(what) if found else 0
        return found

    def next(self) -> str:
        if self.at >= len(self.text):
            raise PatternError("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def until(self, end: str) -> str:
        place = self.text.find(end, self.at)
        if place < 0:
            raise PatternError(f"a {end!r} is missing")
        found, self.at = self.text[self.at : place], place + len(end)
        return found

    # ---- rows, choices, groups ----

    def choice(self, flags: _Flags, depth: int) -> Pattern:
        """Up to the ')' of a group, or the end."""
        if depth > _DEEPEST:
            raise PatternError(f"groups are nested more than {_DEEPEST} deep")
        rows: list[list[Pattern]] = [[]]
        while self.rest and not self.sees(")"):
            if self.takes("|"):
                rows.append([])
            elif self.sees("(?") and not self.sees("(?P") and not self.sees("(?<"):
                flags = self._flagged(flags, rows[-1], depth)
            elif self.takes("\\Q"):
                self._quote(flags, rows[-1])
            else:
                rows[-1].append(self._repeated(self._one(flags, depth)))
        parts = tuple(Row(tuple(row)) for row in rows)
        return parts[0] if len(parts) == 1 else Choice(parts)

    def _quote(self, flags: _Flags, row: list[Pattern]) -> None:
        r"""Up to ``\E``, or the end; what repeats it repeats its last letter."""
        place = self.text.find("\\E", self.at)
        place = len(self.text) if place < 0 else place
        quoted = self.text[self.at : place]
        self.at = min(place + 2, len(self.text))
        row += [Letters(_cased(_single(ord(c)), flags)) for c in quoted]
        if quoted:
            row.append(self._repeated(row.pop()))

    def _flagged(self, flags: _Flags, row: list[Pattern], depth: int) -> _Flags:
        """``(?flags)``, which hold from here on, or ``(?flags:...)``."""
        self.takes("(?")
        found, on = flags, True
        while not self.sees(")") and not self.sees(":"):
            flag = self.next()
            if flag == "-":
                on = False
            elif flag == "i":
                found = replace(found, any_case=on)
            elif flag == "s":
                found = replace(found, dot_takes_lines=on)
            elif flag == "m":
                found = replace(found, edges_of_lines=on)
            elif flag != "U":
                raise PatternError(f"'(?{flag}' is not known")
        if self.next() == ")":
            return found
        row.append(self._repeated(self._group(found, depth)))
        return flags

    def _group(self, flags: _Flags, depth: int) -> Pattern:
        found = self.choice(flags, depth + 1)
        if not self.takes(")"):
            raise PatternError("a ')' is missing")
        return found

    def _repeated(self, part: Pattern) -> Pattern:
        times = self._times()
        if times is None:
            return part
        self.takes("?")  # which of several matches it is does not matter
        if self._times() is not None:
            raise PatternError("a repetition is repeated; put it in a group")
        return Repeat(part, *times)

    def _times(self) -> tuple[int, int | None] | None:
        for sign, times in {"*": (0, None), "+": (1, None), "?": (0, 1)}.items():
            if self.takes(sign):
                return times
        end = self.text.find("}", self.at)
        if not self.sees("{") or end < 0:
            return None
        first, comma, second = self.text[self.at + 1 : end].partition(",")
        if not _is_number(first) or (second and not _is_number(second)):
            return None  # it is a letter as any other
        self.at = end + 1
        least, most = int(first), int(second) if second else (None if comma else int(first))
        if max(least, most or 0) > _MOST or (most is not None and most < least):
            raise PatternError(f"{{{first}{comma}{second}}} is not a number of times up to {_MOST}")
        return least, most

    # ---- one letter, or one of some ----

    def _one(self, flags: _Flags, depth: int) -> Pattern:
        sign = self.next()
        if sign == "(":
            if self.takes("?P<") or self.takes("?<"):
                self.until(">")
            return self._group(flags, depth)
        if sign in "*+?":
            raise PatternError(f"'{sign}' repeats nothing")
        if sign in "^$":
            return Edge(_SIGNS[sign, flags.edges_of_lines])
        if sign == ".":
            line_end = () if flags.dot_takes_lines else ((_LINE_END, _LINE_END),)
            return Letters(all_but(line_end))
        if sign == "[":
            return Letters(self._bracket(flags))
        if sign == "\\":
            return self._escaped(flags)
        return Letters(_cased(_single(ord(sign)), flags))

    def _escaped(self, flags: _Flags) -> Pattern:
        for letter, kind in _EDGES.items():
            if self.takes(letter):
                return Edge(kind)
        found = self._set(flags)
        return Letters(_cased(_single(self._code()), flags) if found is None else found)

    def _set(self, flags: _Flags) -> Ranges | None:
        r"""``\d``, ``\pL``, ``\P{Lu}`` and the like."""
        sign = self.rest[:1]
        if sign and sign in "dswDSW":
            self.next()
            known = _cased(PERL[sign.lower()], flags)
            return all_but(known) if sign.isupper() else known
        if sign in _NOT_SUPPORTED:
            raise PatternError(f"{_NOT_SUPPORTED[sign]} is not supported")
        if sign not in ("p", "P"):
            return None
        self.next()
        name = self.until("}") if self.takes("{") else self.next()
        negated = (sign == "P") != name.startswith("^")
        found = category(name.removeprefix("^"))
        if found is None:
            raise PatternError(f"\\p{{{name[:40]}}} is not supported: only general categories are")
        found = _cased(found, flags)
        return all_but(found) if negated else found

    def _code(self) -> int:
        """The letter after a backslash."""
        sign = self.next()
        if sign in _CONTROLS:
            return _CONTROLS[sign]
        if sign == "x":
            digits = self.until("}") if self.takes("{") else self.next() + self.next()
            return _number(digits, 16)
        if sign in "01234567":
            digits = sign
            while len(digits) < 3 and self.rest[:1] and self.rest[0] in "01234567":
                digits += self.next()
            if sign != "0" and len(digits) == 1:
                raise PatternError(f"'\\{sign}', what a group took, is not supported")
            return _number(digits, 8)
        if sign.isascii() and sign.isalnum():
            raise PatternError(f"'\\{sign}' is not known")
        return ord(sign)

    def _bracket(self, flags: _Flags) -> Ranges:
        negated = self.takes("^")
        found: list[tuple[int, int]] = []
        first = True
        while first or not self.sees("]"):
            first = False
            found += self._member(flags)
        self.next()
        return all_but(joined(found)) if negated else joined(found)

    def _member(self, flags: _Flags) -> Ranges:
        if self.takes("[:"):
            name = self.until(":]")
            known = POSIX.get(name.removeprefix("^"))
            if known is None:
                raise PatternError(f"[:{name[:40]}:] is not known")
            known = _cased(known, flags)
            return all_but(known) if name.startswith("^") else known
        if self.takes("\\"):
            found = self._set(flags)
            if found is not None:
                return found
            first = self._code()
        else:
            first = ord(self.next())
        if not self.sees("-") or self.sees("-]"):
            return _cased(_single(first), flags)
        self.next()
        last = self._code() if self.takes("\\") else ord(self.next())
        if last < first:
            raise PatternError("a range of letters ends before it begins")
        return _cased(((first, last),), flags)


def _cased(ranges: Ranges, flags: _Flags) -> Ranges:
    return whatever_case(ranges) if flags.any_case else ranges


def _single(letter: int) -> Ranges:
    return ((letter, letter),)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6


def _number(digits: str, base: int) -> int:
    try:
        found = int(digits, base) if digits.isalnum() else LAST + 1
    except ValueError:
        found = LAST + 1
    if found > LAST:
        raise PatternError(f"{digits[:20]!r} is not a letter's number")
    return found
