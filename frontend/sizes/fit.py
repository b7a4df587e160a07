"""Which expression of the sizes a number is, told from what it is for some of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from luthier.schedules.ir.size import Size, Sizes, simplified
from luthier.schedules.ir.symbol import Symbol

from .bases import Basis, Monomial, monomials_of, table_of
from .quotients import deciding, quotients

_MOST_ATOMS = 32  # quotients that sums and products are made of
_NEAR = 1e-9  # of numbers, by which a sum in floats may differ from them
_MOST_NAMES = 8  # of sizes that products of any three are tried for
_MOST_FACTOR = 1 << 31  # of a term of a sum
_MOST_COMPARED = 1 << 16  # sizes at which expressions are compared


class UndecidedError(Exception):
    """Several expressions of the size ``name`` are what a number is at the points; at ``sizes``
    they differ."""

    def __init__(self, sizes: Sizes, name: str) -> None:
        super().__init__(f"several expressions differ at {dict(sizes)}")
        self.sizes, self.name = sizes, name


@dataclass(frozen=True)
class Points:
    """Choices of the sizes of a box that ``symbols`` span."""

    symbols: tuple[Symbol, ...]
    sizes: tuple[Sizes, ...]
    _known: dict[tuple[int, ...], int | Size | None] = field(default_factory=dict)
    _quotients: dict[str, Size] = field(default_factory=dict)
    _smaller: dict[str, Size] = field(default_factory=dict)
    _bases: dict[tuple[Monomial, ...], Basis] = field(default_factory=dict)
    _spans: dict[tuple[Monomial, ...], NDArray[np.float64]] = field(default_factory=dict)
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
        number where this is less, times a number and plus another; one size, times a number and
        plus another, divided by a number and rounded down, or a multiple of that; a sum of those
        that are known; or a product of two or three that are known. Each has fewer free numbers
        than there are points, which all agree with it. Raises UndecidedError.
        """
        key = tuple(numbers)
        if self._known.get(key) is None:
            self._known[key] = self._fit(key)
        return self._known[key]

    def _fit(self, numbers: tuple[int, ...]) -> int | Size | None:
        if len(set(numbers)) == 1:
            return numbers[0]
        found = _first(basis.fit(numbers) for basis in self._singles)
        for rule in (self._clamped, self._quotient, self._sum, self._polynomial, self._product):
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

    def _bases_of(self, sets: Iterable[tuple[Monomial, ...]]) -> Iterator[Basis]:
        atoms = self._atoms
        for monomials in sets:
            if len(monomials) <= self._decided:
                if monomials not in self._bases:
                    self._bases[monomials] = Basis(atoms, self.sizes, monomials)
                yield self._bases[monomials]

    @cached_property
    def _singles(self) -> list[Basis]:
        return list(self._bases_of(monomials_of((name,), 1) for name in self.names))

    def _polynomial(self, numbers: Sequence[int]) -> int | Size | None:
        """Those with few monomials first."""
        most = 3 if len(self.names) <= _MOST_NAMES else 2
        some = [s for n in range(2, most + 1) for s in itertools.combinations(self.names, n)]
        sets = [monomials_of(names, 1) for names in some]
        sets += [monomials_of((name,), 2) for name in self.names]
        if most == 3:
            sets += [monomials_of(names, 2) for names in some if len(names) < 3]
        return _first(basis.fit(numbers) for basis in self._bases_of(sets))

    def _product(self, numbers: Sequence[int]) -> int | Size | None:
        """Of two, or of three that follow from different sizes, not all of which are sizes."""
        met = itertools.islice((self._quotients | self._smaller).items(), _MOST_ATOMS)
        atoms = {name: Size.named(name) for name in self.names} | dict(met)
        for number in (2, 3) if len(self.names) <= _MOST_NAMES else (2,):
            sets = [
                monomials_of(some, 1)
                for some in itertools.combinations(atoms, number)
                if not set(some) <= set(self.names)
                and (number == 2 or _are_apart([atoms[name] for name in some]))
            ]
            near = self._near(sets, numbers)
            found = _first(basis.fit(numbers) for basis in self._bases_of(near))
            if found is not None:
                return found
        return None

    def _near(
        self, sets: Sequence[tuple[Monomial, ...]], numbers: Sequence[int]
    ) -> Iterator[tuple[Monomial, ...]]:
        """Those sets whose sums are the numbers but for roundings: few of many."""
        wanted = np.array(numbers, float)
        atoms = self._atoms
        for monomials in sets:
            if monomials not in self._spans:
                table = table_of(atoms, self.sizes, monomials)
                self._spans[monomials] = np.linalg.qr(np.array(table, float))[0]
        most = _NEAR * float(np.linalg.norm(wanted))
        for monomials in sets:
            span = self._spans[monomials]
            if np.linalg.norm(wanted - span @ (span.T @ wanted)) <= most:
                yield monomials

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
        """Of those that are known, each times a number, as far as the points decide that."""
        atoms = list(self._atoms.values())[: self._decided - 1]
        if len(atoms) < 2:
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

    def _quotient(self, numbers: Sequence[int]) -> int | Size | None:
        """Of one size, or a multiple of it and a number more, as what is padded is."""
        factor = math.gcd(*(n - numbers[0] for n in numbers))
        rest = numbers[0] % factor
        parts = [(n - rest) // factor for n in numbers]
        for symbol in self.symbols:
            if symbol.name not in self.names:
                continue
            for times, more, part in ((1, 0, numbers), (factor, rest, parts)):
                if found := self._only(symbol, part):
                    if len(self._quotients) < _MOST_ATOMS:
                        self._quotients[str(found)] = found
                    return simplified("+", simplified("*", found, times), more)
        return None

    def _only(self, symbol: Symbol, numbers: Sequence[int]) -> Size | None:
        """The quotient of one size, where all that it may be are the same on the whole range."""
        sizes = [each[symbol.name] for each in self.sizes]
        if len(set(sizes)) < len(set(zip(sizes, numbers, strict=True))):
            return None
        found = list(quotients(sizes, numbers))
        if not found:
            return None
        step = max(1, (symbol.most - symbol.least) // _MOST_COMPARED)
        every = np.arange(symbol.least, symbol.most + 1, step)
        place = deciding(np.array([(every * f + rest) // d for f, d, rest in found]))
        if place is not None:
            most = {s.name: s.most for s in self.symbols}
            raise UndecidedError({**most, symbol.name: int(every[place])}, symbol.name)
        factor, divisor, rest = found[0]
        if min(factor * n + rest for n in (symbol.least, symbol.most)) < 0:
            return None  # kernels round towards zero
        quotient: Size = (Size.named(symbol.name) * factor + rest) // divisor
        return quotient


def _are_apart(atoms: Sequence[Size]) -> bool:
    """Whether no two of them follow from the same size."""
    names = [name for atom in atoms for name in atom.names]
    return len(set(names)) == len(names)


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


def _first(found: Iterator[int | Size | None]) -> int | Size | None:
    return next((each for each in found if each is not None), None)
