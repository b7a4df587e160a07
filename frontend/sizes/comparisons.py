"""Comparisons of numbers that follow from sizes, which came out alike at some sizes: for which
others they do not."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules.ir.size import Size, Sizes, ceildiv, value
from luthier.schedules.ir.symbol import Symbol

Number = int | Size
_OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
}
COMPARISONS = frozenset(f".{name}" for name in _OPERATIONS)  # with the standard's domain
_MANY, _SOME = 1 << 22, 1 << 10  # choices of one size, of which runs find no more; of several


def otherwise(
    op: str,
    pairs: Sequence[tuple[Number, Number]],
    outcomes: Sequence[bool],
    symbols: Sequence[Symbol],
) -> list[dict[str, int]]:
    """Choices of the sizes of ``symbols`` for which comparisons of pairs have other outcomes, the
    first 1024. All choices of one size that is no larger than 2^22 are looked at, else some."""
    names = {n for pair in pairs for each in pair if isinstance(each, Size) for n in each.names}
    own = [symbol for symbol in symbols if symbol.name in names]
    if len(own) < len(names) or not own:
        return []
    table = _choices(own)
    sizes = {symbol.name: column for symbol, column in zip(own, table.T, strict=True)}
    other = np.zeros(len(table), bool)
    for (left, right), outcome in zip(pairs, outcomes, strict=True):
        found = _OPERATIONS[op.removeprefix(".")](value(left, sizes), value(right, sizes))
        other |= np.broadcast_to(found != outcome, other.shape)
    rows = table[np.flatnonzero(other)[:_SOME]]
    return [{symbol.name: int(n) for symbol, n in zip(own, row, strict=True)} for row in rows]


def undecided(
    comparisons: Sequence[tuple[str, Sequence[tuple[Number, Number]]]],
    known: Sequence[Sizes],
    symbols: Sequence[Symbol],
) -> list[dict[str, int]]:
    """Choices of sizes for which comparisons come out together as at none that is ``known``: one
    for each way, of the comparisons of the same sizes. Of which are looked at, see ``otherwise``.
    """
    groups = defaultdict[frozenset[str], list[tuple[str, Number, Number]]](list)
    for op, pairs in comparisons:
        for left, right in pairs:
            names = {n for each in (left, right) if isinstance(each, Size) for n in each.names}
            groups[frozenset(names)].append((op, left, right))
    found = list[dict[str, int]]()
    for together, group in groups.items():
        own = [symbol for symbol in symbols if symbol.name in together]
        if not own or len(own) < len(together):
            continue
        met = np.array([[sizes[symbol.name] for symbol in own] for sizes in known], np.int64)
        table = _choices(own)
        ways, first = np.unique(_ways(group, own, table), return_index=True)
        rows = table[first[~np.isin(ways, _ways(group, own, met))]]
        found += [{s.name: int(n) for s, n in zip(own, row, strict=True)} for row in rows]
    return found


def _ways(
    group: Sequence[tuple[str, Number, Number]], symbols: Sequence[Symbol], table: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """For each choice a number that tells how all comparisons come out: a sum of random ones."""
    sizes = {symbol.name: column for symbol, column in zip(symbols, table.T, strict=True)}
    terms = np.random.default_rng(len(group)).integers(1 << 63, size=len(group), dtype=np.uint64)
    ways = np.zeros(len(table), np.uint64)
    for (op, left, right), term in zip(group, terms, strict=True):
        is_so = _OPERATIONS[op.removeprefix(".")](value(left, sizes), value(right, sizes))
        ways += np.where(is_so, term, np.uint64(0))
    return ways


def _choices(symbols: Sequence[Symbol]) -> NDArray[np.int64]:
    """A row for each."""
    if len(symbols) > 1:
        return np.array(list(_together(symbols)), np.int64)
    (symbol,) = symbols
    step = ceildiv(symbol.most - symbol.least + 1, _MANY)
    return np.arange(symbol.least, symbol.most + 1, step, dtype=np.int64).reshape(-1, 1)


def _together(symbols: Sequence[Symbol]) -> Iterator[tuple[int, ...]]:
    """Of several sizes ends, random ones and equal ones."""
    spread = random.Random(len(symbols))
    ends = itertools.product(*((s.least, s.most) for s in symbols))
    yield from itertools.islice(ends, _SOME)
    for _ in range(_SOME):
        yield tuple(spread.randint(s.least, s.most) for s in symbols)
    shared = min(s.most for s in symbols)
    for n in range(max(s.least for s in symbols), min(shared, _SOME) + 1):
        yield (n,) * len(symbols)
