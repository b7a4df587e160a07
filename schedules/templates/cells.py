"""Some of the choices of open sizes: one by one where they are few, else in cells of a grid.

A cell is all choices between two. Arithmetic on intervals tells whether a condition holds for all
of them or for none (Moore, "Interval Analysis", 1966); else the cell is cut in two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ScheduleError
from ..ir.size import Condition, Size, Sizes, Term, simplified, value
from .choices import Choices

_MOST_CHOICES = 1 << 22  # each of which is looked at
_MOST_CELLS, _FEW_CELLS, _LINES = 1 << 19, 1 << 12, 4
_FAR = 1 << 62

_Numbers: TypeAlias = NDArray[np.int64]
_Truths: TypeAlias = NDArray[np.bool_]
_Interval: TypeAlias = tuple[_Numbers, _Numbers]


class Region(Protocol):
    """Some of the choices of a workload's sizes."""

    def any(self) -> bool:
        """Whether there are any."""

    def split(self, conditions: Sequence[Condition]) -> tuple[Region, Region]:
        """Those for which all conditions hold, and the others; raises ScheduleError."""

    def largest(self) -> Sizes:
        """The one with the largest product of totals."""

    def most(self, size: int | Size) -> int:
        """No less than a size is for any of them."""


def every(choices: Choices) -> Region:
    """All choices."""
    if choices.count <= _MOST_CHOICES:
        return _Each(choices, np.ones(choices.shape, bool))
    high = np.array([choices.shape], np.int64) - 1
    return _Cells(choices, np.zeros_like(high), high)


@dataclass(frozen=True)
class _Each:
    """Those for which a truth is true."""

    choices: Choices
    among: _Truths

    def any(self) -> bool:
        return bool(self.among.any())

    def split(self, conditions: Sequence[Condition]) -> tuple[_Each, _Each]:
        here = np.ones(self.choices.shape, bool)
        for condition in conditions:
            here &= _holds(condition, self.choices.sizes)
        return _Each(self.choices, self.among & here), _Each(self.choices, self.among & ~here)

    def largest(self) -> Sizes:
        return self.choices.largest(self.among)

    def most(self, size: int | Size) -> int:
        with np.errstate(divide="ignore"):
            numbers = np.broadcast_to(value(size, self.choices.sizes), self.choices.shape)
        return int(np.max(numbers[self.among]))


@dataclass(frozen=True)
class _Cells:
    """The choices from ``low`` to ``high``: for each cell a row, with a number for each axis."""

    choices: Choices
    low: _Numbers
    high: _Numbers

    def any(self) -> bool:
        return len(self.low) > 0

    def split(self, conditions: Sequence[Condition]) -> tuple[_Cells, _Cells]:
        inside, outside, left = list[_Cells](), list[_Cells](), self
        while left.any():
            hold, fail = left._decided(conditions)
            inside.append(left._some(hold))
            outside.append(left._some(fail))
            left = left._some(~hold & ~fail)._cut(conditions)
            if sum(len(each.low) for each in (*inside, *outside, left)) > self._room:
                ranges = ", ".join(map(str, self.choices.symbols))
                raise ScheduleError(
                    f"the sizes {ranges} have too many choices together; narrow them"
                )
        return self._joined(inside), self._joined(outside)

    def largest(self) -> Sizes:
        sizes = self.choices.at(self.high)
        product: Any = 1.0
        for total in self.choices.totals:
            product = product * (total.at(sizes) + 1)
        at = int(np.argmax(product))
        return {name: int(numbers[at]) for name, numbers in sizes.items()}

    def most(self, size: int | Size) -> int:
        if isinstance(size, int):
            return size
        return int(_interval(size, self._ends)[1].max())

    @property
    def _room(self) -> int:
        """As many cells as a line through a plane has of one choice, some times."""
        return min(_FEW_CELLS + _LINES * sum(self.choices.shape), _MOST_CELLS)

    @property
    def _ends(self) -> Mapping[str, _Interval]:
        low, high = self.choices.at(self.low), self.choices.at(self.high)
        return {name: (low[name], high[name]) for name in low}

    def _some(self, which: _Truths) -> _Cells:
        return _Cells(self.choices, self.low[which], self.high[which])

    def _joined(self, cells: Sequence[_Cells]) -> _Cells:
        low, high = (np.concatenate([getattr(c, end) for c in cells]) for end in ("low", "high"))
        return _Cells(self.choices, low, high)

    def _decided(self, conditions: Sequence[Condition]) -> tuple[_Truths, _Truths]:
        """Of which cells all conditions hold for all choices, and of which one for none."""
        hold, fail = np.ones(len(self.low), bool), np.zeros(len(self.low), bool)
        ends, sizes = self._ends, self.choices.at(self.low)
        for condition in conditions:
            always, never = _outcome(condition, ends)
            one = (self.low == self.high)[:, self._axes(condition)].all(axis=1)
            here = np.broadcast_to(_holds(condition, sizes), one.shape)
            hold &= np.where(one, here, always)
            fail |= np.where(one, ~here, never)
        return hold, fail

    def _axes(self, condition: Condition) -> _Truths:
        """Along which it depends on sizes."""
        sides = (s for s in (condition.left, condition.right) if isinstance(s, Size))
        names = frozenset().union(*(side.names for side in sides))
        return np.array([not names.isdisjoint(of) for of in self.choices.names], bool)

    def _cut(self, conditions: Sequence[Condition]) -> _Cells:
        """In two, along the longest axis on which a condition depends that is not decided."""
        ends, matter = self._ends, np.zeros(self.low.shape, bool)
        for condition in conditions:
            always, never = _outcome(condition, ends)
            matter |= (~always & ~never)[:, None] & self._axes(condition)
        length = (self.high - self.low) * matter
        length = np.where(length.any(axis=1, keepdims=True), length, self.high - self.low)
        rows, axis = np.arange(len(self.low)), length.argmax(axis=1)
        middle = (self.low[rows, axis] + self.high[rows, axis]) // 2
        low, high = self.low.copy(), self.high.copy()
        high[rows, axis], low[rows, axis] = middle, middle + 1
        whole = _Cells(self.choices, self.low, high), _Cells(self.choices, low, self.high)
        return self._joined(whole)


def _holds(condition: Condition, sizes: Mapping[str, _Numbers]) -> _Truths:
    with np.errstate(divide="ignore"):  # by sizes that are zero, which none of them is for
        return np.asarray(condition.holds(sizes), bool)


def _outcome(condition: Condition, ends: Mapping[str, _Interval]) -> tuple[_Truths, _Truths]:
    """For which intervals a condition holds everywhere, and for which nowhere."""
    low, high = _interval(simplified("-", condition.left, condition.right), ends)
    zero, other, less, more = (low == 0) & (high == 0), (low > 0) | (high < 0), high < 0, low > 0
    return {
        "==": (zero, other),
        "!=": (other, zero),
        "<": (less, low >= 0),
        "<=": (high <= 0, more),
        ">": (more, high <= 0),
        ">=": (low >= 0, less),
    }[condition.relation]


def _interval(size: int | Size, ends: Mapping[str, _Interval]) -> _Interval:
    """Between which numbers a size is where each name is in an interval."""
    if isinstance(size, int):
        number = np.full(len(next(iter(ends.values()))[0]), size, np.int64)
        return number, number
    if not size.operands:
        return ends[size.operation]
    if size.operation == "+":
        return _sum(size.operands, ends)
    left, right = (_interval(operand, ends) for operand in size.operands)
    if size.operation in ("min", "max"):
        chosen = np.minimum if size.operation == "min" else np.maximum
        return chosen(left[0], right[0]), chosen(left[1], right[1])
    return (_quotient if size.operation == "//" else _rest)(left, right)


def _sum(terms: Sequence[Term], ends: Mapping[str, _Interval]) -> _Interval:
    low, high = _interval(0, ends)
    for factor, atoms in terms:
        product = _interval(factor, ends)
        for atom in atoms:
            product = _product(product, _interval(atom, ends))
        low, high = low + product[0], high + product[1]
    return low, high


def _among(corners: Sequence[_Numbers]) -> _Interval:
    return np.minimum.reduce(corners), np.maximum.reduce(corners)


def _product(left: _Interval, right: _Interval) -> _Interval:
    return _among([a * b for a in left for b in right])


def _quotient(left: _Interval, right: _Interval) -> _Interval:
    """Anything where what divides may be 0."""
    positive = right[0] > 0
    divisors = [np.where(positive, each, 1) for each in right]
    low, high = _among([a // b for a in left for b in divisors])
    return np.where(positive, low, -_FAR), np.where(positive, high, _FAR)


def _rest(left: _Interval, right: _Interval) -> _Interval:
    positive = right[0] > 0
    by = np.where(positive, right[0], 1)
    same = positive & (right[0] == right[1]) & (left[0] // by == left[1] // by)
    low = np.where(same, left[0] % by, np.where(positive, 0, -_FAR))
    high = np.where(same, left[1] % by, np.where(positive, right[1] - 1, _FAR))
    return low, high
