"""Polynomials of sizes that numbers may be: monomials, and what tells their factors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod
from operator import mul
from typing import TypeAlias

from luthier.schedules.ir.size import Size, Sizes, simplified

Monomial: TypeAlias = tuple[tuple[str, int], ...]
"""Texts of sizes with their powers."""


def monomials_of(names: Sequence[str], degree: int) -> tuple[Monomial, ...]:
    """All with these names and powers up to a degree, the number 1 first."""
    powers = itertools.product(range(degree + 1), repeat=len(names))
    return tuple(
        tuple((name, power) for name, power in zip(names, each, strict=True) if power)
        for each in powers
    )


class Basis:
    """Monomials of some sizes, and the points at which they decide the factors of a polynomial."""

    def __init__(
        self, atoms: Mapping[str, Size], points: Sequence[Sizes], monomials: Sequence[Monomial]
    ) -> None:
        self._atoms, self._monomials = atoms, monomials
        self._table = table_of(atoms, points, monomials)
        self._rows, self._inverse = _inverse(self._table)

    def fit(self, numbers: Sequence[int]) -> int | Size | None:
        """The polynomial with whole factors that is these numbers; None where there is none."""
        if not self._rows:
            return None
        chosen = [numbers[row] for row in self._rows]
        exact = [sum(map(mul, row, chosen), Fraction(0)) for row in self._inverse]
        if any(factor.denominator != 1 for factor in exact):
            return None
        factors = list(map(int, exact))
        for row, number in zip(self._table, numbers, strict=True):
            if sum(map(mul, factors, row)) != number:
                return None
        return self._polynomial(factors)

    def _polynomial(self, factors: Sequence[int]) -> int | Size:
        total: int | Size = 0
        for monomial, factor in zip(self._monomials, factors, strict=True):
            term: int | Size = factor
            for name, power in monomial:
                for _ in range(power):
                    term = simplified("*", term, self._atoms[name])
            total = simplified("+", total, term)
        return total


def table_of(
    atoms: Mapping[str, Size], points: Sequence[Sizes], monomials: Sequence[Monomial]
) -> list[list[int]]:
    """What each monomial is at each point."""
    return [
        [prod(int(atoms[n].at(sizes)) ** power for n, power in m) for m in monomials]
        for sizes in points
    ]


def _inverse(table: Sequence[Sequence[int]]) -> tuple[list[int], list[list[Fraction]]]:
    """Rows that make a square table which can be inverted, and its inverse; none where none do."""
    width = len(table[0])
    rows: list[int] = []
    reduced: list[tuple[int, list[Fraction]]] = []  # with their first columns that are not 0
    for number, row in enumerate(table):
        rest = list(map(Fraction, row))
        for column, other in reduced:
            rest = [a - rest[column] * b for a, b in zip(rest, other, strict=True)]
        column = next((i for i, each in enumerate(rest) if each), width)
        if column < width:
            reduced.append((column, [each / rest[column] for each in rest]))
            rows.append(number)
    if len(rows) < width:
        return [], []
    whole = [
        [*map(Fraction, table[row]), *(Fraction(i == j) for j in range(width))]
        for i, row in enumerate(rows)
    ]
    for column in range(width):
        pivot = next(i for i in range(column, width) if whole[i][column])
        whole[column], whole[pivot] = whole[pivot], whole[column]
        first = whole[column][column]
        whole[column] = [each / first for each in whole[column]]
        for i in range(width):
            factor = whole[i][column]
            if i != column and factor:
                whole[i] = [a - factor * b for a, b in zip(whole[i], whole[column], strict=True)]
    return rows, [row[width:] for row in whole]
