"""A model's imports at some sizes, each made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeAlias

from luthier.schedules import UnsupportedOperator
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol

from ..graph.across import Moves
from ..graph.arrays import Arrays
from ..program import Program
from .alignment import NotAlikeError
from .checks import Met
from .keys import Keys

_MOST_IMPORTS = 96
_MORE_IMPORTS, _MOST_RANGES = 48, 6  # for each program of a range, of so many

_Key: TypeAlias = tuple[tuple[str, int], ...]


class Manner(NamedTuple):
    """How an import is made: with ``dense`` tensors or not, and what is ``kept`` in it that does
    nothing at its sizes."""

    dense: bool = False
    kept: Moves = frozenset()


@dataclass(frozen=True)
class Import:
    """A model's program, and what was met."""

    program: Program
    met: Met

    @cached_property
    def keys(self) -> Keys:
        """What tells the program's values."""
        return Keys(self.program)

    @property
    def moved(self) -> Moves:
        """What it does at its sizes that may leave all as it is at others."""
        return frozenset(move for part in self.met.notes for move in part.moved)


ImportAt: TypeAlias = Callable[[Sizes, Manner], Import]


class MovedError(Exception):
    """An import does what those before it had no need to do: they are to be made anew."""


@dataclass
class Imported:
    """Those of ``import_at`` so far, at sizes of some ``symbols``.

    What is ``kept`` is done at all sizes, though there is nothing to do at some, as where an image
    that is padded to a multiple is as large as one: it is what was met in imports of a box.
    """

    symbols: Sequence[Symbol]
    import_at: ImportAt
    dense: bool = False
    kept: Moves = frozenset()
    _known: dict[tuple[_Key, Moves], Import] = field(default_factory=dict)
    _moved: dict[_Key, Moves] = field(default_factory=dict)
    _arrays: Arrays = field(default_factory=Arrays)
    _count: int = 0
    _ranges: int = 0

    def know(self, sizes: Sizes, known: Import) -> None:
        """Spare an import, in which nothing is kept, nor are tensors dense."""
        self._add(_key(sizes), frozenset(), known)

    def _add(self, key: _Key, kept: Moves, known: Import) -> Import:
        """With arrays that were met before in place of equal ones."""
        arrays = known.program.constants.items()
        constants = {value: self._arrays.once(array) for value, array in arrays}
        known = replace(known, program=replace(known.program, constants=constants))
        self._moved[key] = known.moved
        self._known[key, kept - known.moved] = known
        return known

    def make_dense(self) -> None:
        """Forget those in which tensors are not."""
        self.dense, self._count, self._ranges = True, 0, 0
        self._known.clear()
        self._moved.clear()

    def allow_more(self) -> None:
        """After a program of a range."""
        self._ranges += 1

    def begin(self, box: Sequence[Symbol]) -> None:
        """Keep what was met at sizes of this box alone."""
        ranges = {symbol.name: symbol for symbol in box}
        inside = (m for key, m in self._moved.items() if all(n in ranges[name] for name, n in key))
        self.kept = frozenset().union(*inside)

    def at(self, sizes: Sizes, reason: NotAlikeError | None = None) -> Import:
        """One that may be like others of the box; raises MovedError where those before it were made
        with less, and as ``alone`` does."""
        found = self._made(sizes, self.kept, reason)
        if not found.moved <= self.kept:
            self.kept |= found.moved
            raise MovedError
        return found

    def alone(self, sizes: Sizes, reason: NotAlikeError | None = None) -> Import:
        """One that does what there is to do at its sizes; raises UnsupportedOperator, which tells
        the reason, where there were many already."""
        return self._made(sizes, frozenset(), reason)

    def _made(self, sizes: Sizes, kept: Moves, reason: NotAlikeError | None) -> Import:
        key = _key(sizes)
        if key in self._moved:
            known = self._known.get((key, kept - self._moved[key]))
            if known is not None:
                return known
        self._count += 1
        if self._count > _MOST_IMPORTS + _MORE_IMPORTS * min(self._ranges, _MOST_RANGES):
            ranges = ", ".join(map(str, self.symbols))
            why = f" ({reason})" if reason else ""
            raise UnsupportedOperator(
                f"no few programs run the model for all of its sizes {ranges}{why}: give a few "
                "exact ones, such as tokens=32,128"
            )
        return self._add(key, kept, self.import_at(sizes, Manner(self.dense, kept)))


def _key(sizes: Sizes) -> _Key:
    return tuple(sorted(sizes.items()))
