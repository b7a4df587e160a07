"""Imports of a model at sizes, and the programs that come of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from luthier.schedules import LuthierError
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol

from ..control.found_sizes import FoundSizes, as_many
from ..program import Program
from .checks import Met
from .few import ForeseenError, with_computed
from .imported import Import, Manner
from .rules import Notes, differing_truths
from .variants import Variants

_FEW = 1  # of what runs find: less than any number that it is cut to

ProgramAt: TypeAlias = Callable[[Sizes, FoundSizes, Manner], Program]


class _MoreFoundError(Exception):
    """An import finds sizes that the one of the largest sizes has not, as of a branch's result
    that is as large as the other's along an axis for these alone."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        super().__init__(", ".join(map(str, symbols)))
        self.symbols = symbols


@dataclass(frozen=True)
class Imports:
    """``program_at`` gives the program at certain sizes, made in some manner, and meets what runs
    find.

    ``symbols`` are the sizes that are given, ``found`` will have the others, and ``named`` are the
    values of the model. Other imports ``may_compute`` what is a table in these.
    """

    program_at: ProgramAt
    symbols: Sequence[Symbol]
    found: FoundSizes
    named: Collection[str]
    may_compute: bool = False

    def programs(self) -> tuple[Program, ...]:
        """What runs the model at all sizes; raises as ``program_at`` does, UnsupportedOperator, and
        OtherTableError."""
        programs = with_computed(self._programs)
        self.found.check_said()
        return programs

    def _programs(
        self, computed: Mapping[str, int], uncomputed: Collection[str], may_foresee: bool
    ) -> tuple[Program, ...]:
        """Where runs compute some numbers, and may not compute others; raises ComputedError."""
        found, largest = self.found, {symbol.name: symbol.most for symbol in self.symbols}
        found.symbols = []

        def import_at(sizes: Sizes, manner: Manner) -> Import:
            met = self._met(sizes, computed)
            program = self.program_at(sizes, met, manner)
            found.short |= met.short
            found.symbols = found.symbols or met.symbols
            found.counted |= met.counted
            known = {symbol.name for symbol in found.symbols}
            if more := [symbol for symbol in met.symbols if symbol.name not in known]:
                raise _MoreFoundError(more)
            return Import(program, Met(sizes, met.notes))

        def possible_at(sizes: Sizes) -> Met:
            met = self._met(sizes, computed, possible=True)
            try:
                self.program_at(sizes, met, Manner())
            except LuthierError:
                return Met(met.settled, met.notes, complete=False)
            return Met(met.settled, met.notes, skipped=met.skipped)

        known = import_at(largest, Manner())
        if found.short and not found.fixed:
            found.fixed = self._fixed(largest, computed)
            found.symbols = []
            known = import_at(largest, Manner())
        if may_foresee and found.symbols and (truths := self._otherwise(largest, known.met.notes)):
            raise ForeseenError(truths)
        while True:
            variants = Variants(
                self.symbols,
                import_at,
                possible_at,
                self.named,
                uncomputed,
                tuple(found.symbols),
                may_compute=self.may_compute,
            )
            variants.know(largest, known)
            try:
                return variants.programs()
            except _MoreFoundError as error:
                found.symbols += error.symbols

    def _otherwise(self, sizes: Sizes, notes: Notes) -> dict[str, int]:
        """Truths of the model that are others where none is found than they are in the import that
        is noted, as of an ``If`` that asks for that: what no number of more can tell.

        Where an import with none ends too early, as many as can be are taken of what it met.
        """
        found, met = dict[str, int](), set[str]()
        while True:
            none = {s.name: 0 for s in self.found.symbols if s.name not in met}
            few = self._met({**sizes, **none}, {}, possible=True)
            is_whole = True
            try:
                self.program_at({**sizes, **none}, few, Manner())
            except LuthierError:
                is_whole = False
            found |= dict.fromkeys(differing_truths(notes, few.notes, self.named), 1)
            more = {symbol.name for symbol in few.symbols} - met
            if is_whole or not more:
                return found
            met |= more

    def _fixed(self, sizes: Sizes, computed: Mapping[str, int]) -> Mapping[str, Collection[int]]:
        """Of the model's values the dimensions that follow from nothing that runs find, where
        inference does not tell: they are alike whether as many are found as can be, or few."""
        most = self._met(sizes, computed, possible=True, plain=True)
        shapes = self._shapes(sizes, most)
        few = {s.name: min(_FEW, max(s.most - 1, 0)) for s in most.symbols}
        least = self._met({**sizes, **few}, computed, possible=True, plain=True)
        others = self._shapes({**sizes, **few}, least)
        both = ((name, shapes[name], others[name]) for name in shapes.keys() & others.keys())
        return {
            name: [i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a == b]
            for name, one, other in both
        }

    def _shapes(self, sizes: Sizes, met: FoundSizes) -> dict[str, tuple[int, ...]]:
        """Of the model's values, as far as an import comes."""
        with suppress(LuthierError):
            self.program_at(sizes, met, Manner())
        return {
            name: shape
            for part in met.notes
            for name, shape in part.shapes.items()
            if name in self.named
        }

    def _met(
        self,
        sizes: Sizes,
        computed: Mapping[str, int],
        *,
        possible: bool = False,
        plain: bool = False,
    ) -> FoundSizes:
        """What an import is going to meet."""
        return FoundSizes(
            dict(sizes),
            [symbol.name for symbol in self.symbols],
            self.found.bounds,
            {symbol.name: as_many(symbol).most for symbol in self.found.symbols},
            self.found.counts,
            possible=possible,
            computed=computed,
            plain=plain,
            fixed=self.found.fixed,
            ways=self.found.ways,
        )
