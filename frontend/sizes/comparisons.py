"""Comparisons of numbers that follow from sizes, which came out alike at some sizes: for which
others they do not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules.ir.size import Size, ceildiv, value
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
