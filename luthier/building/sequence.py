"""Runs over states one after the other, each from what the one before left."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from luthier.deploy import Artifact
from luthier.frontend import Entry, ReadModel
from luthier.schedules.ir.symbol import Symbol

from ..correctness.compare import Outputs
from ..inputs.samples import inputs_at
from ..records.runs import Run

_STEPS = 6
_SPREAD = 16  # above the least of a range: a sequence shows how runs follow one another
_FIRST_SEED = 1000  # other inputs than those of single runs

Held = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Step:
    """A run: what it was given, states before it among that, and gave, with states after it.

    States before it are what the runs before gave, whichever entry points these were of.
    """

    entry: str
    run: Run
    inputs: Outputs
    ours: Outputs


def sequence(
    first: Artifact, reads: Mapping[str, ReadModel], entries: Mapping[str, Entry]
) -> list[Step]:
    """A few runs of the entry points that have states: the first, the others in turns, the first.

    It ends early where none can follow on what the states hold.
    """
    titles = [title for title, entry in entries.items() if entry.variants[0].states]
    if not titles:
        return []
    rng, steps = random.Random(len(titles)), []
    with ExitStack() as opened:
        artifacts = {title: opened.enter_context(first.entry(title)) for title in titles}
        held = _begun(artifacts, reads, entries)
        for number, wanted in enumerate(_turns(titles)):
            found = _next(wanted, entries, held, rng)
            if found is None:
                continue
            title, run = found
            given = inputs_at(reads[title], run.sizes, _FIRST_SEED + number)
            notes = artifacts[title].state.notes
            before = {note.name: held[note.name] for note in notes}
            fresh = {n: a for n, a in given.items() if n not in before}
            outputs = artifacts[title].run(fresh, texts=False, lists=False)
            after = artifacts[title].state.read()
            held |= after
            ours = outputs | {note.becomes: after[note.name] for note in notes}
            steps.append(Step(title, run, {**given, **before}, ours))
    return steps


def _turns(titles: Sequence[str]) -> Iterator[Sequence[str]]:
    """Which entry points are to run next, the one that is wanted most in front."""
    yield titles
    others = itertools.cycle(titles[1:] or titles)
    for title in itertools.islice(others, _STEPS - 2):
        yield [title, *titles]
    yield titles[:1]


def _begun(
    artifacts: Mapping[str, Artifact],
    reads: Mapping[str, ReadModel],
    entries: Mapping[str, Entry],
) -> Held:
    """What states hold in the beginning; where no entry point begins with nothing, as little as
    the first may."""
    held: Held = {}
    for artifact in artifacts.values():
        artifact.state.reset()
        held |= artifact.state.read()
    if _next(list(artifacts), entries, held, random.Random(0)) is None:
        title, artifact = next(iter(artifacts.items()))
        sizes = {symbol.name: symbol.least for symbol in entries[title].symbols}
        given = inputs_at(reads[title], sizes, _FIRST_SEED - 1)
        artifact.state.write({note.name: given[note.name] for note in artifact.state.notes})
        for each in artifacts.values():
            held |= each.state.read()
    return held


def _next(
    titles: Sequence[str], entries: Mapping[str, Entry], held: Held, rng: random.Random
) -> tuple[str, Run] | None:
    """The first of the entry points that may run on what states hold, and at which sizes."""
    for title in titles:
        entry = entries[title]
        sizes = {symbol.name: _some(symbol, rng) for symbol in entry.symbols}
        lengths = (state for state in entry.variants[0].states if state.axis is not None)
        sizes |= {s.length: held[s.name].shape[s.axis or 0] for s in lengths}
        if all(sizes[symbol.name] in symbol for symbol in entry.symbols):
            program = entry.variant(sizes)
            if program is not None:
                return title, Run(sizes, program)
    return None


def _some(symbol: Symbol, rng: random.Random) -> int:
    if symbol.exact:
        return rng.choice(symbol.exact)
    return rng.randint(symbol.least, min(symbol.most, symbol.least + _SPREAD))
