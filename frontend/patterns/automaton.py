"""The automaton of a pattern: Thompson's construction over bytes, then that of subsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .parse import parse
from .syntax import Choice, Edge, Letters, Pattern, PatternError, Repeat, Row
from .utf8 import sequences

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


@dataclass
class _Places:
    """Places in a pattern: from each, bytes lead on, or nothing but an edge of the text, if any."""

    takes: list[list[tuple[int, int, int]]] = field(default_factory=list)  # first, last, to
    goes: list[list[tuple[str, int]]] = field(default_factory=list)  # "", "begin" or "end", to
    accept: int = 0

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
                self.goes[begin].append(("", first))
                self.goes[self.after(part, first)].append(("", end))
        elif isinstance(pattern, Edge):
            self.goes[begin].append(("end" if pattern.is_end else "begin", end))
        else:
            self._add_letters(pattern, begin, end)
        return end

    def _after_repeat(self, pattern: Repeat, begin: int) -> int:
        for _ in range(pattern.least):
            begin = self.after(pattern.part, begin)
        end = self.new()
        if pattern.most is None:
            first = self.new()
            self.goes[begin].append(("", first))
            self.goes[self.after(pattern.part, first)].append(("", first))
            self.goes[first].append(("", end))
            return end
        for _ in range(pattern.most - pattern.least):
            self.goes[begin].append(("", end))
            first = self.new()  # where nothing leads back to
            self.goes[begin].append(("", first))
            begin = self.after(pattern.part, first)
        self.goes[begin].append(("", end))
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

    def reached(self, places: Iterable[int], edges: Sequence[str]) -> frozenset[int]:
        """With all places that need no byte; ``edges`` are those of the text where this is."""
        found, pending = set(places), list(places)
        while pending:
            for edge, to in self.goes[pending.pop()]:
                if to not in found and (not edge or edge in edges):
                    found.add(to)
                    pending.append(to)
        return frozenset(found)


def _deterministic(places: _Places) -> Automaton:
    bounds = {0, 256}
    for takes in places.takes:
        for first, last, _ in takes:
            bounds.update((first, last + 1))
    starts = sorted(bounds)[:-1]
    classes = np.searchsorted(starts, np.arange(256), side="right") - 1
    begin = places.reached([0], ["begin"])
    states, rows = {begin: 0}, list[list[int]]()
    pending, steps = [begin], 0
    for state in pending:
        row = []
        takes = [each for place in state for each in places.takes[place]]
        for start in starts:
            following = places.reached({t for a, b, t in takes if a <= start <= b}, [])
            steps += len(takes) + len(following)
            if following not in states:
                states[following] = len(states)
                pending.append(following)
            row.append(states[following])
        rows.append(row)
        if len(states) > _MOST_STATES or steps > _MOST_STEPS:
            raise PatternError(f"its automaton is too large (beyond {_MOST_STATES} states)")
    ends = [places.accept in places.reached(state, ["end"]) for state in states]
    # An empty text begins where it ends. Nothing leads back to the first place, so that no other
    # state is this one.
    ends[0] = places.accept in places.reached([0], ["begin", "end"])
    order = np.argsort(ends, kind="stable")
    numbers = np.empty_like(order)
    numbers[order] = np.arange(order.size)
    table = numbers[np.asarray(rows)[order]]
    accepts = len(ends) - sum(ends)
    return Automaton(classes.astype(np.uint8), table.astype(np.int32), int(numbers[0]), accepts)
