"""Sizes that a model with open ones is tuned, tried and timed at, and its programs there."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from luthier.frontend import Entry, Program
from luthier.frontend.program import Call, State, at
from luthier.schedules import Tensor, Workload
from luthier.schedules.errors import UsageError
from luthier.schedules.ir.size import Sizes, value
from luthier.schedules.ir.symbol import Symbol

At = Mapping[str, Sequence[int]]
"""By the name of a size some that it may have."""

_MOST = 64


@dataclass(frozen=True)
class Run:
    """A run of a model: the sizes of the moment, none where all are fixed, and its variant.

    Sizes that a run finds are taken to be as large as they may be.
    """

    sizes: Sizes
    variant: Program

    @cached_property
    def every(self) -> Sizes:
        """Its sizes, those that it finds too."""
        return {**{symbol.name: symbol.most for symbol in self.variant.symbols}, **self.sizes}

    @cached_property
    def program(self) -> Program:
        """What runs, with these sizes."""
        return at(self.variant, self.every)

    @property
    def text(self) -> str:
        """Its sizes, for people; empty where none is open."""
        return ", ".join(f"{name}={size}" for name, size in self.sizes.items())

    @property
    def outputs(self) -> dict[str, Tensor]:
        """The types of what it gives, and of what states are then."""
        types = ((name, self.variant.type(value)) for name, value in self.variant.outputs)
        given = {n: t if isinstance(t, Tensor) else t.at(self.every) for n, t in types}
        return given | {state.becomes: self._after(state) for state in self.variant.states}

    @property
    def told(self) -> dict[str, Tensor]:
        """The types of those whose sizes it does not find."""
        types = ((name, self.variant.type(value)) for name, value in self.variant.outputs)
        open_ = {name: t.names for name, t in types if not isinstance(t, Tensor)}
        found = self.variant.found
        return {n: t for n, t in self.outputs.items() if found.isdisjoint(open_.get(n, ()))}

    def _after(self, state: State) -> Tensor:
        """What a state is after the run."""
        whole = self.variant.values[state.before]
        if state.axis is None:
            return whole
        shape = list(whole.shape)
        shape[state.axis] = int(value(self.every[state.length] + state.more, self.every))
        return Tensor(tuple(shape), whole.dtype)

    def workload(self, call: Call) -> Workload:
        """What a call of the variant computes."""
        return call.workload if call.open is None else call.open.at(self.every)


def runs(entry: Entry, chosen: At | None = None) -> tuple[Run, ...]:
    """Those that stand for all: of each variant the largest, one between, and the smallest.

    Where sizes are ``chosen``, all of these together, the others as large as they may be. Raises
    UsageError for those that the model does not have.
    """
    if chosen:
        return tuple(_run(entry, sizes) for sizes in combinations(entry.symbols, chosen))
    found = [(p, s) for p in entry.variants for s in _spread(p.given)]
    return tuple(Run(sizes, program) for program, sizes in found[:_MOST])


def all_runs(entries: Mapping[str, Entry], chosen: At | None = None) -> dict[str, tuple[Run, ...]]:
    """``runs`` of each entry point.

    Where there are several, each takes those of the chosen sizes that it may have, by the name of
    a size, or of an entry point and a size, as ``decode:past``. Raises UsageError for those that
    none may have.
    """
    if len(entries) == 1 or not chosen:
        return {title: runs(entry, chosen) for title, entry in entries.items()}
    own: dict[str, dict[str, tuple[int, ...]]] = {title: {} for title in entries}
    for name, sizes in chosen.items():
        title, colon, size = name.partition(":")
        asked = {title: entries[title]} if colon and title in entries else entries
        size = size if asked is not entries else name
        for number in sizes:
            fits = [t for t, e in asked.items() if _may_have(e.symbols, size, number)]
            if not fits:
                ranges = "; ".join(f"{t}: {_ranges(e.symbols)}" for t, e in asked.items())
                raise UsageError(
                    f"no entry point is for {name}={number}; their sizes are: {ranges}"
                )
            for t in fits:
                own[t][size] = (*own[t].get(size, ()), number)
    return {title: runs(entry, own[title]) for title, entry in entries.items()}


def _may_have(symbols: Sequence[Symbol], name: str, size: int) -> bool:
    return any(symbol.name == name and size in symbol for symbol in symbols)


def _ranges(symbols: Sequence[Symbol]) -> str:
    return ", ".join(map(str, symbols)) or "none"


def named(title: str, run: Run, entries: Collection[str]) -> str:
    """The sizes of a run for people, after its entry point's name where there are several."""
    return ": ".join(filter(None, (title if len(entries) > 1 else "", run.text)))


def counts(some: Sequence[Run]) -> Counter[Workload]:
    """How often each kernel is called in all of the runs."""
    return Counter(run.workload(call) for run in some for call in run.variant.calls)


def largest(entry: Entry) -> Run:
    """The run of the largest sizes."""
    return _run(entry, {symbol.name: symbol.most for symbol in entry.symbols})


def _run(entry: Entry, sizes: Sizes) -> Run:
    program = entry.variant(sizes)
    assert program is not None, sizes
    return Run(sizes, program)


def _spread(symbols: Sequence[Symbol]) -> Iterator[Sizes]:
    """The largest, the ones in the geometric middle, and the smallest, each once."""
    middle = {s.name: math.isqrt(s.least * s.most) for s in symbols}
    most, least = {s.name: s.most for s in symbols}, {s.name: s.least for s in symbols}
    yield from map(dict, dict.fromkeys(tuple(each.items()) for each in (most, middle, least)))


def combinations(symbols: Sequence[Symbol], chosen: At) -> list[Sizes]:
    """All of the chosen sizes together, the largest first, and the others as large as they may be.

    Raises UsageError for those that are not the symbols'.
    """
    known = {symbol.name: symbol for symbol in symbols}
    ranges = _ranges(symbols)
    for name, sizes in chosen.items():
        if name not in known:
            raise UsageError(
                f"'{name}' is not a size that the model leaves open; these are: {ranges}"
            )
        for size in sizes:
            if size not in known[name]:
                raise UsageError(f"the model is not for {name}={size}; its sizes are: {ranges}")
    every = [sorted(set(chosen.get(s.name, (s.most,))), reverse=True) for s in symbols]
    if math.prod(map(len, every)) > _MOST:
        raise UsageError(f"these are {math.prod(map(len, every))} choices of sizes, above {_MOST}")
    names = [symbol.name for symbol in symbols]
    return [dict(zip(names, each, strict=True)) for each in itertools.product(*every)]
