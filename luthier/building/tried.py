"""At which sizes a library is run and compared, where its model leaves some open."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from luthier.frontend import Entry
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ops.counts import flops

from ..records.runs import Run, largest

# Sizes of kernels' tiles, and those beside them.
_EDGES = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257)
_CHEAP, _ALL = 2e10, 2e11  # operations of a run, and of all runs: some seconds each
_MOST_TRIED, _MOST_CHECKED = 8, 40


def tried(entry: Entry) -> tuple[Run, ...]:
    """The runs of a new library: first the largest that costs little, then small and odd ones."""
    if not entry.symbols:
        return (largest(entry),)
    found: dict[str, Run] = {}
    for program in (largest(entry).variant, *entry.variants):
        sizes = _most(program.given)
        while _cost(Run(sizes, program)) > _CHEAP and sizes != _least(program.given):
            sizes = {s.name: max(s.least, sizes[s.name] // 2) for s in program.given}
        odd = {s.name: min(s.most, max(s.least, sizes[s.name] // 2) | 1) for s in program.given}
        for each in (sizes, odd, _least(program.given)):
            run = Run(each, program)
            found.setdefault(run.text, run)
    return tuple(found.values())[:_MOST_TRIED]


def checked(entry: Entry, count: int) -> tuple[Run, ...]:
    """The runs of a check: the ends of every range, the edges of tiles, and ``count`` random ones.

    They are fewer where they cost much.
    """
    found: dict[str, Run] = {}
    left = _ALL
    for sizes in _checked_sizes(entry, count):
        program = entry.variant(sizes)
        if program is not None and len(found) < _MOST_CHECKED:
            run = Run(sizes, program)
            cost = 0.0 if run.text in found else _cost(run)
            if cost <= left or not found:
                found.setdefault(run.text, run)
                left -= cost
    return tuple(found.values())


def _checked_sizes(entry: Entry, count: int) -> Iterator[Sizes]:
    """The first of each kind, then the second, so that few are of all kinds."""
    rng = random.Random(count)
    for program in entry.variants:
        yield _least(program.given)
        yield _most(program.given)
    edges = [s.exact or tuple(n for n in _EDGES if n in s) or (s.least,) for s in entry.symbols]
    for i in range(max(count, *map(len, edges))):
        if i < count:
            yield {s.name: _between(s, rng) for s in entry.symbols}
        if i < max(map(len, edges)):
            chosen = [some[(i * (place + 1)) % len(some)] for place, some in enumerate(edges)]
            yield {s.name: n for s, n in zip(entry.symbols, chosen, strict=True)}


def _between(symbol: Symbol, rng: random.Random) -> int:
    return rng.choice(symbol.exact) if symbol.exact else rng.randint(symbol.least, symbol.most)


def _most(symbols: Sequence[Symbol]) -> dict[str, int]:
    return {symbol.name: symbol.most for symbol in symbols}


def _least(symbols: Sequence[Symbol]) -> dict[str, int]:
    return {symbol.name: symbol.least for symbol in symbols}


def _cost(run: Run) -> float:
    """Operations of a run, elements that are moved included."""
    workloads = (run.workload(call) for call in run.variant.calls)
    return float(sum(flops(workload) + workload.output.size for workload in workloads))
