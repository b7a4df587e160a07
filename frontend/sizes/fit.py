"""Which expression of the sizes a number is, told from what it is for some of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import prod
from operator import mul

import numpy as np

from luthier.schedules.ir.size import Size, Sizes, simplified
from luthier.schedules.ir.symbol import Symbol

_DIVISORS = range(2, 65)
_LONGER = range(65, 4097)  # steps from one window to the next, of which only those near are tried
_MOST_NEAR = 256
_MOST_ATOMS = 8  # quotients and smaller of two that products are made of
_MOST_NAMES = 8  # of sizes that products of any three are tried for
_MOST_FACTOR = 1 << 31  # of a term of a sum
_MOST_COMPARED = 1 << 16  # sizes at which expressions are compared

_Monomial = tuple[tuple[str, int], ...]  # texts of sizes with their powers


class UndecidedError(Exception):
    """Several expressions are what a number is at the points; at ``sizes`` they differ."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(f"several expressions differ at {dict(sizes)}")
        self.sizes = sizes


@dataclass(frozen=True)
class Points:
    """Choices of the sizes of a box that ``symbols`` span."""

    symbols: tuple[Symbol, ...]
    sizes: tuple[Sizes, ...]
    _known: dict[tuple[int, ...], int | Size | None] = field(default_factory=dict)
    _quotients: dict[str, Size] = field(default_factory=dict)
    _smaller: dict[str, Size] = field(default_factory=dict)
    _bases: dict[tuple[_Monomial, ...], _Basis] = field(default_factory=dict)
    _some: dict[tuple[bool, ...], Points] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of sizes that vary."""
        return tuple(n for n in sorted(self.sizes[0]) if len({s[n] for s in self.sizes}) > 1)

    def where(self, kept: Sequence[bool]) -> Points:
        """Some of them; all where none is kept."""
        if all(kept) or not any(kept):
            return self
        key = tuple(kept)
        if key not in self._some:
            some = tuple(itertools.compress(self.sizes, key))
            self._some[key] = Points(
                self.symbols, some, _quotients=self._quotients, _smaller=self._smaller
            )
        return self._some[key]

    def fit(self, numbers: Sequence[int]) -> int | Size | None:
        """The simplest expression that is these numbers at the points; None where none is known.

        A number; a polynomial of the sizes, of degree two at most in each of them; one size, or a
        number where this is less, times a number and plus another; a sum of those that are known;
        one size, times a number and plus another, divided by a number and rounded down; or a
        product of two that are known. Each has fewer free numbers than there are points, which
        all agree with it. Raises UndecidedError.
        """
        key = tuple(numbers)
        if self._known.get(key) is None:
            self._known[key] = self._fit(key)
        return self._known[key]

    def _fit(self, numbers: tuple[int, ...]) -> int | Size | None:
        if len(set(numbers)) == 1:
            return numbers[0]
        found = _first(basis.fit(numbers) for basis in self._singles)
        for rule in (self._clamped, self._sum, self._polynomial, self._quotient, self._product):
            if found is None:
                found = rule(numbers)
        return found

    @cached_property
    def _decided(self) -> int:
        """How many free numbers the points decide: one more where they are all that there is."""
        every = prod(len(s.exact) or s.most - s.least + 1 for s in self.symbols)
        return len(self.sizes) - (len(self.sizes) < every)

    @property
    def _atoms(self) -> dict[str, Size]:
        """Sizes, and expressions of one that are known."""
        return {name: Size.named(name) for name in self.names} | self._smaller | self._quotients

    def _bases_of(self, sets: Iterable[tuple[_Monomial, ...]]) -> Iterator[_Basis]:
        atoms = self._atoms
        for monomials in sets:
            if len(monomials) <= self._decided:
                if monomials not in self._bases:
                    self._bases[monomials] = _Basis(atoms, self.sizes, monomials)
                yield self._bases[monomials]

    @cached_property
    def _singles(self) -> list[_Basis]:
        return list(self._bases_of(_monomials((name,), 1) for name in self.names))

    def _polynomial(self, numbers: Sequence[int]) -> int | Size | None:
        """Those with few monomials first."""
        most = 3 if len(self.names) <= _MOST_NAMES else 2
        some = [s for n in range(2, most + 1) for s in itertools.combinations(self.names, n)]
        sets = [_monomials(names, 1) for names in some]
        sets += [_monomials((name,), 2) for name in self.names]
        if most == 3:
            sets += [_monomials(names, 2) for names in some if len(names) < 3]
        return _first(basis.fit(numbers) for basis in self._bases_of(sets))

    def _product(self, numbers: Sequence[int]) -> int | Size | None:
        met = itertools.islice((self._quotients | self._smaller).items(), _MOST_ATOMS)
        atoms = [*self.names, *dict(met)]
        pairs = itertools.combinations(atoms, 2)
        sets = (_monomials(names, 1) for names in pairs if not set(names) <= set(self.names))
        return _first(basis.fit(numbers) for basis in self._bases_of(sets))

    def _clamped(self, numbers: Sequence[int]) -> int | Size | None:
        """Of the smaller of a size and a number, as of the best so many of what is found."""
        for name in self.names:
            sizes = [each[name] for each in self.sizes]
            if found := _knee(sizes, numbers):
                factor, most, rest = found
                smaller = Size("min", Size.named(name), most)
                self._smaller[str(smaller)] = smaller
                return simplified("+", simplified("*", smaller, factor), rest)
        return None

    def _sum(self, numbers: Sequence[int]) -> int | Size | None:
        """Of any of those that are known, each times a number, where the points decide that."""
        atoms = list(self._atoms.values())
        if not 1 < len(atoms) < self._decided:
            return None
        table = np.array([[*(a.at(sizes) for a in atoms), 1] for sizes in self.sizes], float)
        wanted = np.array(numbers)
        solved, _, rank, _ = np.linalg.lstsq(table, wanted.astype(float), rcond=None)
        if rank < table.shape[1] or not np.abs(solved).max() < _MOST_FACTOR:
            return None
        factors = np.rint(solved).astype(np.int64)
        if not np.array_equal(table.astype(np.int64) @ factors, wanted):
            return None
        total: int | Size = int(factors[-1])
        for atom, factor in zip(atoms, factors, strict=False):
            total = simplified("+", total, simplified("*", atom, int(factor)))
        return total

    def _quotient(self, numbers: Sequence[int]) -> Size | None:
        for symbol in self.symbols:
            if symbol.name in self.names and (found := self._only(symbol, numbers)):
                if len(self._quotients) < _MOST_ATOMS:
                    self._quotients[str(found)] = found
                return found
        return None

    def _only(self, symbol: Symbol, numbers: Sequence[int]) -> Size | None:
        """The quotient of one size, where all that it may be are the same on the whole range."""
        sizes = [each[symbol.name] for each in self.sizes]
        found = list(_quotients(sizes, numbers))
        if not found:
            return None
        step = max(1, (symbol.most - symbol.least) // _MOST_COMPARED)
        every = np.arange(symbol.least, symbol.most + 1, step)
        values = np.array([(every * f + rest) // d for f, d, rest in found])
        kinds = (np.diff(np.sort(values, axis=0), axis=0) != 0).sum(axis=0)
        if kinds.max(initial=0):
            most = {s.name: s.most for s in self.symbols}
            place = int(kinds.argmax())
            if found[0][1] in _LONGER:  # the middle of a run halves what is left
                places = np.flatnonzero(kinds == kinds[place])
                runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
                longest = max(runs, key=len)
                place = int(longest[len(longest) // 2])
            raise UndecidedError({**most, symbol.name: int(every[place])})
        factor, divisor, rest = found[0]
        if min(factor * n + rest for n in (symbol.least, symbol.most)) < 0:
            return None  # kernels round towards zero
        quotient: Size = (Size.named(symbol.name) * factor + rest) // divisor
        return quotient


def _quotients(sizes: Sequence[int], numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Factors, divisors, and what is added before the division, that give the numbers."""
    low, high = sizes.index(min(sizes)), sizes.index(max(sizes))
    slope = Fraction(numbers[high] - numbers[low], sizes[high] - sizes[low])
    for divisor in _DIVISORS:
        near = math.floor(slope * divisor)
        for factor in (near, near + 1):
            rests = [divisor * n - factor * s for n, s in zip(numbers, sizes, strict=True)]
            first, last = max(rests), min(rests) + divisor - 1
            if factor and math.gcd(factor, divisor) == 1:
                yield from ((factor, divisor, rest) for rest in range(first, last + 1))
    yield from _long_steps(sizes, numbers, low, high)


def _long_steps(
    sizes: Sequence[int], numbers: Sequence[int], low: int, high: int
) -> Iterator[tuple[int, int, int]]:
    """The same of windows that are far apart, as those of sound; of what may be added the least and
    the most, between which all others are."""
    far, more = sizes[high] - sizes[low], numbers[high] - numbers[low]
    if more < 3:
        return
    near = range(max(_LONGER.start, far // (more + 1)), min(_LONGER.stop, far // (more - 1) + 1))
    for divisor in near if len(near) <= _MOST_NEAR else ():
        rests = [divisor * n - s for n, s in zip(numbers, sizes, strict=True)]
        first, last = max(rests), min(rests) + divisor - 1
        if first <= last:
            yield from ((1, divisor, rest) for rest in dict.fromkeys((first, last)))


def _knee(sizes: Sequence[int], numbers: Sequence[int]) -> tuple[int, int, int] | None:
    """A factor, the largest size that counts, and what is added, which give the numbers.

    Some sizes must be on either side of the largest that counts.
    """
    of = dict(zip(sizes, numbers, strict=True))
    if any(of[size] != number for size, number in zip(sizes, numbers, strict=True)):
        return None
    ordered = sorted(of)
    first, last = of[ordered[0]], of[ordered[-1]]
    level = [size for size in ordered if of[size] == last]
    below = ordered[: len(ordered) - len(level)]
    if not below or len(level) < 2:
        return None
    if len(below) > 1:
        factor, left = divmod(of[below[1]] - first, below[1] - below[0])
    else:
        factor, left = divmod(first, below[0])  # a few of them, and nothing else
    rest = first - factor * below[0]
    if left or factor <= 0 or (last - rest) % factor:
        return None
    most = (last - rest) // factor
    fits = all(factor * min(size, most) + rest == of[size] for size in ordered)
    return (factor, most, rest) if fits else None


class _Basis:
    """Monomials of some sizes, and the points at which they decide the factors of a polynomial."""

    def __init__(
        self, atoms: Mapping[str, Size], points: Sequence[Sizes], monomials: Sequence[_Monomial]
    ) -> None:
        self._atoms, self._monomials = atoms, monomials
        self._table = [
            [prod(int(atoms[n].at(sizes)) ** power for n, power in m) for m in monomials]
            for sizes in points
        ]
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


def _monomials(names: Sequence[str], degree: int) -> tuple[_Monomial, ...]:
    """All with these names and powers up to a degree, the number 1 first."""
    powers = itertools.product(range(degree + 1), repeat=len(names))
    return tuple(
        tuple((name, power) for name, power in zip(names, each, strict=True) if power)
        for each in powers
    )


def _first(found: Iterator[int | Size | None]) -> int | Size | None:
    return next((each for each in found if each is not None), None)
