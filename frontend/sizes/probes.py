"""Sizes at which a model is imported, to see how it depends on them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import TypeAlias

from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol

_NEAR_ENDS, _RANDOM, _MOST_CORNERS = 2, 4, 16

Box: TypeAlias = tuple[Symbol, ...]


def probes(box: Box) -> Iterator[Sizes]:
    """All of a box but for the largest: ends, near them, between, odd and even."""
    seen = {tuple(symbol.most for symbol in box)}
    spread = random.Random(str(box))
    choices = []
    for symbol in box:
        near = range(symbol.least, min(symbol.most, symbol.least + _NEAR_ENDS) + 1)
        last = max(symbol.least, symbol.most - 1)
        some = [spread.randint(symbol.least, symbol.most) for _ in range(_RANDOM)]
        choices.append([*near, last, *some])
    rows = [[each[i % len(each)] for each in choices] for i in range(max(map(len, choices)))]
    varying = [s for s in box if s.least < s.most]
    if len(varying) > 1:
        more = max(_RANDOM, 2 * len(varying) - _MOST_CORNERS)  # a sum has up to two terms of each
        rows += [[spread.choice(each) for each in choices] for _ in range(2 + more)]
    ends = itertools.product(*((s.least, s.most) for s in box))
    rows += [list(corner) for corner in itertools.islice(ends, _MOST_CORNERS)]
    for row in rows:
        if tuple(row) not in seen:
            seen.add(tuple(row))
            yield dict(zip((symbol.name for symbol in box), row, strict=True))


def neighbours(sizes: Sizes, symbol: Symbol) -> list[Sizes]:
    """Those with one more of a symbol and with one less, as far as there are such."""
    own = sizes[symbol.name]
    return [
        {**sizes, symbol.name: n} for n in (own + 1, own - 1) if symbol.least <= n <= symbol.most
    ]
