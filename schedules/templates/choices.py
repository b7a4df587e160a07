"""All that a workload of open sizes may be: at which sizes that is looked at."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ir.open_workload import OpenWorkload
from ..ir.size import Size, Sizes
from ..ir.symbol import Symbol

_Sum: TypeAlias = Mapping[Size, int]  # factors of its terms, but for a number


@dataclass(frozen=True)
class _Axis:
    """Sizes, or what each of them is at most, of which only the ``total`` counts."""

    terms: tuple[Size, ...]
    symbols: tuple[Symbol, ...]

    @property
    def total(self) -> Any:
        """What counts."""
        return reduce(add, self.terms)

    def _ends(self, term: Size, symbol: Symbol) -> tuple[int, int]:
        return term.at({symbol.name: symbol.least}), term.at({symbol.name: symbol.most})

    def __len__(self) -> int:
        ends = (self._ends(*each) for each in zip(self.terms, self.symbols, strict=True))
        return 1 + sum(most - least for least, most in ends)

    def sizes(self, more: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Of each name one for each total that is so much more than the least: the first as large
        as they may be, others the least."""
        left = more
        for term, symbol in zip(self.terms, self.symbols, strict=True):
            least, most = self._ends(term, symbol)
            here = np.minimum(left, most - least)
            yield symbol.name, least + here
            left = left - here


class Choices:
    """``sizes`` are of each name a number for each choice, in arrays of one ``shape`` together.

    A kernel knows no more of sizes than the numbers of its workload. Where these have several in
    one sum alone, as the rows of what was found in several places and is one tensor from then on,
    one choice stands for all with this sum.
    """

    def __init__(self, workload: OpenWorkload, symbols: Sequence[Symbol]) -> None:
        self.symbols = [s for s in symbols if s.name in workload.names]
        axes = _axes(workload, self.symbols)
        self.shape = tuple(map(len, axes))
        self.totals: list[Any] = [axis.total for axis in axes]
        self._axes = axes

    @property
    def count(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @cached_property
    def sizes(self) -> dict[str, NDArray[np.int64]]:
        """By name."""
        rank = len(self.shape)
        return {
            name: numbers.reshape([-1 if i == j else 1 for j in range(rank)])
            for i, axis in enumerate(self._axes)
            for name, numbers in axis.sizes(np.arange(len(axis)))
        }

    def at(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """The same at some places, each of which is a row of numbers along the axes."""
        pairs = zip(self._axes, places.T, strict=True)
        return {name: numbers for axis, along in pairs for name, numbers in axis.sizes(along)}

    @property
    def names(self) -> list[frozenset[str]]:
        """Of the sizes along each axis."""
        return [frozenset(symbol.name for symbol in axis.symbols) for axis in self._axes]

    def largest(self, among: NDArray[np.bool_]) -> Sizes:
        """The choice with the largest product of totals."""
        product: Any = 1
        for total in self.totals:
            product = product * (total.at(self.sizes) + 1)
        at = int(np.argmax(np.where(among, product, 0)))
        return {
            name: int(np.broadcast_to(numbers, self.shape).flat[at])
            for name, numbers in self.sizes.items()
        }


def _axes(workload: OpenWorkload, symbols: Sequence[Symbol]) -> list[_Axis]:
    """Terms with the same factors in all sums, where nothing else has their names, are together."""
    sums = dict.fromkeys(frozenset(each.items()) for size in workload.sizes for each in _sums(size))
    factors: dict[Size, list[tuple[int, int]]] = defaultdict(list)
    for i, one in enumerate(sums):
        for term, factor in one:
            factors[term].append((i, factor))
    together: dict[tuple[tuple[int, int], ...], tuple[list[Size], list[Symbol]]] = {}
    for symbol in symbols:
        terms = [term for term in factors if symbol.name in term.names]
        is_alone = len(terms) == 1
        term = terms[0] if is_alone else Size.named(symbol.name)
        key = tuple(factors[term]) if is_alone else ((-1, len(together)),)
        some = together.setdefault(key, ([], []))
        some[0].append(term)
        some[1].append(symbol)
    return [_Axis(tuple(terms), tuple(of)) for terms, of in together.values()]


def _sums(size: int | Size) -> Iterator[_Sum]:
    """The sums that a size is made of, whose terms are names or the smaller of one and a number."""
    if isinstance(size, int):
        return
    terms = size.operands if size.operation == "+" else ()
    alone = {} if terms else {size: 1}
    for term in terms:
        if len(term.atoms) == 1:
            alone[term.atoms[0]] = term.factor
        else:
            for atom in term.atoms:
                yield from _sums(atom)
    yield {term: factor for term, factor in alone.items() if _is_term(term)}
    for term in alone:
        if not _is_term(term):
            for operand in term.operands:
                yield from _sums(operand)


def _is_term(size: Size) -> bool:
    if size.operation != "min":
        return not size.operands
    name, most = size.operands
    return isinstance(most, int) and isinstance(name, Size) and not name.operands
