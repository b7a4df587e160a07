"""Imports of a model in which runs compute the same numbers, each made once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from luthier.schedules import LuthierError
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol

from ..control.found_sizes import FoundSizes, as_many
from ..program import Program
from .checks import Met
from .imported import Import, Manner

ProgramAt: TypeAlias = Callable[[Sizes, FoundSizes, Manner], Program]
_Sizes: TypeAlias = tuple[tuple[str, int], ...]


class MoreFoundError(Exception):
    """An import finds sizes that the one of the largest sizes has not, as of a branch's result
    that is as large as the other's along an axis for these alone."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        super().__init__(", ".join(map(str, symbols)))
        self.symbols = symbols


@dataclass(frozen=True)
class Meeting:
    """``program_at`` gives the program at certain sizes, made in some manner, and meets what runs
    find; sizes of the names ``given`` are not found, ``found`` will have the others, and numbers
    are ``computed`` by runs."""

    program_at: ProgramAt
    given: Sequence[str]
    found: FoundSizes
    computed: Mapping[str, int] = field(default_factory=dict)
    _imports: dict[tuple[_Sizes, Manner], Import] = field(default_factory=dict)
    _possible: dict[_Sizes, Met] = field(default_factory=dict)

    def forget(self) -> None:
        """What was found, and the imports that did."""
        self.found.symbols = []
        self._imports.clear()
        self._possible.clear()

    def import_at(self, sizes: Sizes, manner: Manner) -> Import:
        """One at certain sizes; raises MoreFoundError, and what ``program_at`` raises."""
        key = tuple(sizes.items()), manner
        if key not in self._imports:
            self._imports[key] = self._import_at(sizes, manner)
        return self._imports[key]

    def _import_at(self, sizes: Sizes, manner: Manner) -> Import:
        met, found = self.about(sizes), self.found
        program = self.program_at(sizes, met, manner)
        found.short |= met.short
        found.symbols = found.symbols or met.symbols
        found.counted |= met.counted
        known = {symbol.name for symbol in found.symbols}
        if more := [symbol for symbol in met.symbols if symbol.name not in known]:
            raise MoreFoundError(more)
        return Import(program, Met(sizes, met.notes))

    def possible_at(self, sizes: Sizes) -> Met:
        """What one meets where sizes are the nearest that can be."""
        key = tuple(sizes.items())
        if key not in self._possible:
            self._possible[key] = self._possible_at(sizes)
        return self._possible[key]

    def _possible_at(self, sizes: Sizes) -> Met:
        met = self.about(sizes, possible=True)
        try:
            self.program_at(sizes, met, Manner())
        except LuthierError:
            return Met(met.settled, met.notes, complete=False)
        return Met(met.settled, met.notes, skipped=met.skipped)

    def about(
        self,
        sizes: Sizes,
        computed: Collection[str] | None = None,
        *,
        possible: bool = False,
        plain: bool = False,
    ) -> FoundSizes:
        """What an import is going to meet, in which some of the numbers are computed; all where
        none are named."""
        names = self.computed.keys() if computed is None else computed
        return FoundSizes(
            dict(sizes),
            self.given,
            self.found.bounds,
            {symbol.name: as_many(symbol).most for symbol in self.found.symbols},
            self.found.counts,
            possible=possible,
            computed={name: self.computed[name] for name in names},
            plain=plain,
            fixed=self.found.fixed,
            ways=self.found.ways,
            alike=self.found.alike,
        )
