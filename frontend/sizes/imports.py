"""Imports of a model at sizes, and the programs that come of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from luthier.schedules import LuthierError
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol

from ..control.found_sizes import FoundSizes
from ..program import Program
from .few import ForeseenError, with_computed
from .imported import Manner
from .meeting import Meeting, MoreFoundError, ProgramAt
from .rules import Notes, differing_truths
from .variants import Variants

_FEW = 1  # of what runs find: less than any number that it is cut to


class Imports:
    """``program_at`` gives the program at certain sizes, made in some manner, and meets what runs
    find.

    ``symbols`` are the sizes that are given, ``found`` will have the others, and ``named`` are the
    values of the model. Other imports ``may_compute`` what is a table in these.
    """

    def __init__(
        self,
        program_at: ProgramAt,
        symbols: Sequence[Symbol],
        found: FoundSizes,
        named: Collection[str],
        *,
        may_compute: bool = False,
    ) -> None:
        self._program_at, self._symbols, self._found = program_at, symbols, found
        self._named, self._may_compute = named, may_compute
        self._largest = {symbol.name: symbol.most for symbol in symbols}
        self._meeting = self._meet({})

    def _meet(self, computed: Mapping[str, int]) -> Meeting:
        self._found.symbols = []
        given = [symbol.name for symbol in self._symbols]
        return Meeting(self._program_at, given, self._found, computed)

    def programs(self) -> tuple[Program, ...]:
        """What runs the model at all sizes; raises as ``program_at`` does, UnsupportedOperator, and
        OtherTableError."""
        programs = with_computed(self._programs)
        self._found.check_said()
        return programs

    def _programs(
        self, computed: Mapping[str, int], uncomputed: Collection[str], may_foresee: bool
    ) -> tuple[Program, ...]:
        """Where runs compute some numbers, and may not compute others; raises ComputedError."""
        if computed != self._meeting.computed:
            self._meeting = self._meet(computed)
        meeting, found = self._meeting, self._found
        known = meeting.import_at(self._largest, Manner())
        if found.short and not found.fixed:
            found.fixed = self._fixed()
            meeting.forget()
            known = meeting.import_at(self._largest, Manner())
        if may_foresee and found.symbols and (truths := self._otherwise(known.met.notes)):
            raise ForeseenError(truths)
        while True:
            variants = Variants(
                self._symbols,
                meeting.import_at,
                meeting.possible_at,
                self._named,
                uncomputed,
                tuple(found.symbols),
                may_compute=self._may_compute,
            )
            variants.know(self._largest, known)
            try:
                return variants.programs()
            except MoreFoundError as error:
                found.symbols += error.symbols

    def _otherwise(self, notes: Notes) -> dict[str, int]:
        """Truths of the model that are others where none is found than they are in the import that
        is noted, as of an ``If`` that asks for that: what no number of more can tell.

        Where an import with none ends too early, as many as can be are taken of what it met.
        """
        found, met = dict[str, int](), set[str]()
        while True:
            none = {s.name: 0 for s in self._found.symbols if s.name not in met}
            sizes = {**self._largest, **none}
            few = self._meeting.about(sizes, (), possible=True)
            is_whole = True
            try:
                self._program_at(sizes, few, Manner())
            except LuthierError:
                is_whole = False
            found |= dict.fromkeys(differing_truths(notes, few.notes, self._named), 1)
            more = {symbol.name for symbol in few.symbols} - met
            if is_whole or not more:
                return found
            met |= more

    def _fixed(self) -> Mapping[str, Collection[int]]:
        """Of the model's values the dimensions that follow from nothing that runs find, where
        inference does not tell: they are alike whether as many are found as can be, or few."""
        sizes = self._largest
        most = self._meeting.about(sizes, possible=True, plain=True)
        shapes = self._shapes(sizes, most)
        few = {s.name: min(_FEW, max(s.most - 1, 0)) for s in most.symbols}
        least = self._meeting.about({**sizes, **few}, possible=True, plain=True)
        others = self._shapes({**sizes, **few}, least)
        both = ((name, shapes[name], others[name]) for name in shapes.keys() & others.keys())
        return {
            name: [i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a == b]
            for name, one, other in both
        }

    def _shapes(self, sizes: Sizes, met: FoundSizes) -> dict[str, tuple[int, ...]]:
        """Of the model's values, as far as an import comes."""
        with suppress(LuthierError):
            self._program_at(sizes, met, Manner())
        return {
            name: shape
            for part in met.notes
            for name, shape in part.shapes.items()
            if name in self._named
        }
