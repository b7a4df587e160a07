"""The automaton of a pattern: Thompson's construction over bytes, then that of subsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .parse import parse
from .syntax import Choice, Edge, Kind, Letters, Pattern, PatternError, Repeat, Row
from .utf8 import sequences

_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_LINE_END = 10
Sort: TypeAlias = Literal["", "word", "line end"]
"""A letter of a word, the end of a line, or another."""
_MOST_PLACES, _MOST_STATES, _MOST_STEPS = 20_000, 4096, 20_000_000


@dataclass(frozen=True)
class Automaton:
    """``classes`` [256] has the kind of each byte, ``table`` [states, kinds] the next state.

    A text that leads from ``begin`` to a state from ``accepts`` on matches.
    """

    classes: NDArray[np.uint8]
    table: NDArray[np.int32]
    begin: int
    accepts: int


def automaton(pattern: str) -> Automaton:
    """Of texts that match as a whole; raises PatternError where it is too large."""
    return _deterministic(_Places.of(parse(pattern)))


def searching(pattern: str) -> Automaton:
    """The same of texts that are parts of others: edges of the text and of words are refused."""
    parsed = parse(pattern)
    if _has_edges(parsed):
        raise PatternError("edges of texts and words are not looked for within texts")
    return _deterministic(_Places.of(parsed))


def _has_edges(pattern: Pattern) -> bool:
    if isinstance(pattern, Repeat):
        return _has_edges(pattern.part)
    if isinstance(pattern, Row | Choice):
        return any(map(_has_edges, pattern.parts))
    return isinstance(pattern, Edge)


@dataclass
class _Places:
    """Places in a pattern: from each, bytes lead on, or nothing but an edge of the text, if any."""

    takes: list[list[tuple[int, int, int]]] = field(default_factory=list)  # first, last, to
    goes: list[list[tuple[Kind | None, int]]] = field(default_factory=list)  # at an edge, to
    accept: int = 0
    has_words: bool = False
    has_lines: bool = False

    @staticmethod
    def of(pattern: Pattern) -> _Places:
        found = _Places()
        begin = found.new()
        found.accept = found.after(pattern, begin)
        return found

    def new(self) -> int:
        if len(self.takes) == _MOST_PLACES:
            raise PatternError(f"it has more than {_MOST_PLACES} places, repetitions written out")
        self.takes.append([])
        self.goes.append([])
        return len(self.takes) - 1

    def after(self, pattern: Pattern, begin: int) -> int:
        """The place where what begins at one has matched."""
        if isinstance(pattern, Row):
            for part in pattern.parts:
                begin = self.after(part, begin)
            return begin
        if isinstance(pattern, Repeat):
            return self._after_repeat(pattern, begin)
        end = self.new()
        if isinstance(pattern, Choice):
            for part in pattern.parts:
                first = self.new()
                self.goes[begin].append((None, first))
                self.goes[self.after(part, first)].append((None, end))
        elif isinstance(pattern, Edge):
            self.goes[begin].append((pattern.kind, end))
            self.has_words |= "word" in pattern.kind
            self.has_lines |= "line" in pattern.kind
        else:
            self._add_letters(pattern, begin, end)
        return end

    def _after_repeat(self, pattern: Repeat, begin: int) -> int:
        for _ in range(pattern.least):
            begin = self.after(pattern.part, begin)
        end = self.new()
        if pattern.most is None:
            first = self.new()
            self.goes[begin].append((None, first))
            self.goes[self.after(pattern.part, first)].append((None, first))
            self.goes[first].append((None, end))
            return end
        for _ in range(pattern.most - pattern.least):
            self.goes[begin].append((None, end))
            first = self.new()  # where nothing leads back to
            self.goes[begin].append((None, first))
            begin = self.after(pattern.part, first)
        self.goes[begin].append((None, end))
        return end

    def _add_letters(self, letters: Letters, begin: int, end: int) -> None:
        known: dict[tuple[int, tuple[tuple[int, int], ...]], int] = {}
        for found in sequences(letters.ranges):
            place = begin
            for i, (first, last) in enumerate(found[:-1]):
                key = (place, found[: i + 1])
                if key not in known:
                    known[key] = self.new()
                    self.takes[place].append((first, last, known[key]))
                place = known[key]
            self.takes[place].append((*found[-1], end))

    def sort(self, byte: int) -> Sort:
        """What a byte is to the edges that the pattern has."""
        if self.has_words and byte in _WORD:
            return "word"
        return "line end" if self.has_lines and byte == _LINE_END else ""

    @property
    def sorts(self) -> list[Sort]:
        """All that bytes are."""
        found: list[Sort] = [""]
        found += ["word"] if self.has_words else []
        found += ["line end"] if self.has_lines else []
        return found

    def reached(self, places: Iterable[int], edges: Sequence[Kind]) -> frozenset[int]:
        """With all places that need no byte; ``edges`` are those of the text where this is."""
        found, pending = set(places), list(places)
        while pending:
            for edge, to in self.goes[pending.pop()]:
                if to not in found and (edge is None or edge in edges):
                    found.add(to)
                    pending.append(to)
        return frozenset(found)


@dataclass(frozen=True)
class _State:
    """Places, whether the text begins there, and what the byte before them is."""

    places: frozenset[int]
    begins: bool = False
    before: Sort = ""

    def edges(self, after: Sort, *, ends: bool = False) -> tuple[Kind, ...]:
        """What is there, before such a byte or the end."""
        found: list[Kind] = ["word" if (self.before == "word") != (after == "word") else "no word"]
        found += ["begin"] if self.begins else []
        found += ["end"] if ends else []
        found += ["line begin"] if self.begins or self.before == "line end" else []
        found += ["line end"] if ends or after == "line end" else []
        return tuple(found)


def _deterministic(places: _Places) -> Automaton:
    starts = _starts(places)
    classes = np.searchsorted(starts, np.arange(256), side="right") - 1
    pending = [_State(frozenset([0]), begins=True)]
    states, rows, steps = {pending[0]: 0}, list[list[int]](), 0
    for state in pending:
        row = []
        takes = {sort: _takes(places, state, sort) for sort in places.sorts}
        for start in starts:
            sort = places.sort(start)
            following = {t for a, b, t in takes[sort] if a <= start <= b}
            new = _State(places.reached(following, []), before=sort)
            steps += len(takes[sort]) + len(new.places)
            if new not in states:
                states[new] = len(states)
                pending.append(new)
            row.append(states[new])
        rows.append(row)
        if len(states) > _MOST_STATES or steps > _MOST_STEPS:
            raise PatternError(f"its automaton is too large (beyond {_MOST_STATES} states)")
    ends = [
        places.accept in places.reached(each.places, each.edges("", ends=True)) for each in states
    ]
    order = np.argsort(ends, kind="stable")
    numbers = np.empty_like(order)
    numbers[order] = np.arange(order.size)
    table = numbers[np.asarray(rows)[order]]
    accepts = len(ends) - sum(ends)
    return Automaton(classes.astype(np.uint8), table.astype(np.int32), int(numbers[0]), accepts)


def _starts(places: _Places) -> list[int]:
    """The first bytes of the kinds that differ."""
    bounds = {0}
    for takes in places.takes:
        for first, last, _ in takes:
            bounds.update((first, last + 1))
    bounds.update(byte for byte in range(1, 256) if places.sort(byte) != places.sort(byte - 1))
    return sorted(bounds - {256})


def _takes(places: _Places, state: _State, after: Sort) -> list[tuple[int, int, int]]:
    """All that leads on from a state where the next byte is of a sort."""
    reached = places.reached(state.places, state.edges(after))
    return [each for place in reached for each in places.takes[place]]
