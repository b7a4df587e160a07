"""None and one of what runs find, in any of a model's sizes: for which of them a program is right
that was made from two and more of each."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from luthier.schedules import LuthierError
from luthier.schedules.ir.symbol import Symbol

from ..program import Refusal

Few: TypeAlias = Mapping[str, int]  # sizes that are 0 or 1, by name; all others are more
Wrong: TypeAlias = Callable[[Few], bool]
T = TypeVar("T")
_Pair: TypeAlias = tuple[tuple[str, int], tuple[str, int]]

_MANY = 2  # stands for any that is more
_ALL_OF = 3  # sizes whose combinations are all asked for
_ASKED = 64, 8  # combinations at most, and so many more for each size


def refused(found: Sequence[Symbol], wrong: Wrong) -> tuple[Refusal, ...]:
    """The combinations of few for which a program is wrong, each without what it is wrong without.

    All combinations of three sizes are asked for; of more sizes those in which any two are
    whatever they can be together (Cohen et al., "The AETG system", 1997).
    """
    levels = {s.name: tuple(range(min(s.most, _MANY) + 1)) for s in found}
    search = _Search(wrong, _ASKED[0] + _ASKED[1] * len(found))
    width = len(found) if len(found) <= _ALL_OF else 2
    for few in _covering(levels, width, search.refused):
        if search.is_open(few) and search.wrong(few):
            search.refuse(few)
    return tuple(sorted(tuple(sorted(each.items())) for each in search.refused))


class ComputedError(Exception):
    """Some ``numbers`` follow from sizes by other rules where these are few: runs can compute them.

    They are given by the names of the values that they are, with the most that they may be.
    """

    def __init__(self, numbers: Mapping[str, int]) -> None:
        super().__init__(f"a run can compute {', '.join(numbers)}")
        self.numbers = numbers


class ForeseenError(ComputedError):
    """The same, told by few imports: others are asked for one by one where these together fail."""


def with_computed(attempt: Callable[[Mapping[str, int], Collection[str], bool], T]) -> T:
    """What an attempt gives that has runs compute as many numbers as it asks for, and for which
    that is right; it is given these, those with which it has failed, and whether it may foresee."""
    computed: dict[str, int] = {}
    added, failed = set[str](), set[str]()
    foreseen, may_foresee = False, True
    while True:
        try:
            return attempt(computed, failed, may_foresee)
        except ComputedError as error:
            added = error.numbers.keys() - computed.keys()
            failed.update(() if added else error.numbers)
            computed = computed | dict(error.numbers)
            foreseen, may_foresee = isinstance(error, ForeseenError), False
        except LuthierError:
            if not added:
                raise
            failed.update(() if foreseen else added)
            computed = {name: most for name, most in computed.items() if name not in added}
            added = set()


class _Search:
    def __init__(self, wrong: Wrong, most: int) -> None:
        self._wrong, self._left = wrong, most
        self._known: dict[frozenset[tuple[str, int]], bool] = {}
        self.refused: list[Few] = []

    def is_open(self, few: Few) -> bool:
        """Whether nothing is refused that it has."""
        return bool(few) and not any(each.items() <= few.items() for each in self.refused)

    def wrong(self, few: Few) -> bool:
        """Whether the program is, or may be where it is too late to ask."""
        key = frozenset(few.items())
        if key not in self._known:
            self._left -= 1
            self._known[key] = self._left < 0 or self._wrong(few)
        return self._known[key]

    def refuse(self, few: Few) -> None:
        """Refuse what it is wrong for; each by itself where it is too late to ask."""
        least = dict(few)
        size = len(least) // 2
        while size:
            names = list(least)
            for i in range(0, len(names), size):
                rest = {n: k for n, k in least.items() if n not in names[i : i + size]}
                if rest and self.wrong(rest):
                    least = rest
            size //= 2
        some = [least] if self._left >= 0 else [{name: k} for name, k in few.items()]
        self.refused += [each for each in some if self.is_open(each)]


def _covering(
    levels: Mapping[str, Sequence[int]], width: int, refused: Sequence[Few]
) -> Iterator[Few]:
    """Choices of levels in which any ``width`` sizes have any of theirs that are not refused."""
    names = list(levels)
    if width == len(names):
        for each in itertools.product(*levels.values()):
            yield _few(dict(zip(names, each, strict=True)))
        return
    spread = random.Random(len(names))
    left = {
        _pair((a, i), (b, j)): None
        for a, b in itertools.combinations(names, 2)
        for i, j in itertools.product(levels[a], levels[b])
        if min(i, j) < _MANY
    }
    while left:
        row = dict(next(iter(left)))
        if _is_refused(row, refused):
            del left[next(iter(left))]
            continue
        rest = [name for name in names if name not in row]
        spread.shuffle(rest)
        for name in rest:
            free = [k for k in levels[name] if not _is_refused({**row, name: k}, refused)]
            gains = {k: sum(_pair((name, k), one) in left for one in row.items()) for k in free}
            row[name] = max(gains, key=lambda k: gains[k]) if gains else levels[name][-1]
        was_open = not _is_refused(row, refused)
        yield _few(row)
        pairs = [_pair(one, other) for one, other in itertools.combinations(row.items(), 2)]
        if was_open and _is_refused(row, refused):  # of what else it has it told nothing
            pairs = [pair for pair in pairs if _is_refused(dict(pair), refused)]
        for pair in pairs:
            left.pop(pair, None)


def _pair(one: tuple[str, int], other: tuple[str, int]) -> _Pair:
    return (one, other) if one < other else (other, one)


def _few(row: Mapping[str, int]) -> Few:
    return {name: k for name, k in row.items() if k < _MANY}


def _is_refused(row: Mapping[str, int], refused: Sequence[Few]) -> bool:
    return any(each.items() <= row.items() for each in refused)
