"""Between which numbers an expression over sizes lies: what generated C may rely on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from luthier.schedules import ModelError
from luthier.schedules.ir.size import Condition, Size, Term
from luthier.schedules.ir.symbol import Symbol

MOST = 1 << 61  # of any number that a library computes; the runtime adds two such in 64 bits

Range = tuple[int, int]
_MOST_ASKED = 1 << 16  # sizes for all of which an expression is computed


def _product(a: Range, b: Range) -> Range:
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


_MONOTONE: Mapping[str, Callable[[Range, Range], Range]] = {
    "min": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "max": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
}


def bounds(size: int | Size, symbols: Mapping[str, Symbol]) -> Range:
    """The least and the most that ``size`` may be, or numbers beyond these, by interval arithmetic.

    Raises ModelError where C may compute something else for some sizes.
    """
    least, most = _bounds(size, symbols)
    if not -MOST <= least <= most <= MOST:
        raise ModelError(f"{size} may be as large as {most}, too large for {_ranges(symbols)}")
    return least, most


def after(symbols: Mapping[str, Symbol], conditions: Sequence[Condition]) -> Mapping[str, Symbol]:
    """The ranges that are left where these conditions do not all hold, as far as can be told: those
    of sizes whose product is not zero begin at one."""
    if [(c.relation, c.right) for c in conditions] != [("==", 0)]:
        return symbols
    size = conditions[0].left
    terms = size.operands if isinstance(size, Size) and size.operation == "+" else ((1, (size,)),)
    if len(terms) > 1:
        return symbols
    names = {str(atom) for atom in terms[0][1]}
    return {
        name: replace(s, least=max(s.least, 1)) if name in names and s.most > 0 else s
        for name, s in symbols.items()
    }


def _bounds(size: int | Size, symbols: Mapping[str, Symbol]) -> Range:
    if isinstance(size, int):
        return size, size
    if not size.operands:
        symbol = symbols[size.operation]
        return symbol.least, symbol.most
    if size.operation == "+":
        terms = [_term(term, symbols) for term in size.operands]
        return sum(least for least, _ in terms), sum(most for _, most in terms)
    a, b = (bounds(operand, symbols) for operand in size.operands)
    if size.operation in _MONOTONE:
        return _MONOTONE[size.operation](a, b)
    if b[0] <= 0:
        raise ModelError(f"{size} may divide by zero: {_ranges(symbols)}")
    if a[0] < 0:
        a = _of_all(size.operands[0], a, symbols)
    if a[0] < 0:  # where C and Python round differently
        raise ModelError(f"{size} may divide a negative number: {_ranges(symbols)}")
    return (a[0] // b[1], a[1] // b[0]) if size.operation == "//" else (0, min(a[1], b[1] - 1))


def _of_all(size: int | Size, known: Range, symbols: Mapping[str, Symbol]) -> Range:
    """Narrower bounds of an expression of one size, from what it is for all that this may be."""
    if isinstance(size, int) or len(size.names) > 1:
        return known
    (symbol,) = (symbols[name] for name in size.names)
    if symbol.most - symbol.least >= _MOST_ASKED:
        return known
    numbers = size.at({symbol.name: np.arange(symbol.least, symbol.most + 1)})
    return int(numbers.min()), int(numbers.max())


def _term(term: Term, symbols: Mapping[str, Symbol]) -> Range:
    """Of a polynomial, any part of which C may compute first."""
    product = (term.factor, term.factor)
    for atom in term.atoms:
        product = _product(product, bounds(atom, symbols))
    if max(map(abs, product)) > MOST:
        most = max(product, key=abs)
        raise ModelError(f"a size may be as large as {most}, too large for {_ranges(symbols)}")
    return product


def _ranges(symbols: Mapping[str, Symbol]) -> str:
    return ", ".join(map(str, symbols.values()))
