"""Imports of a model at sizes, and the programs that come of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from luthier.schedules import LuthierError
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol

from ..control.found_sizes import FoundSizes, as_many
from ..program import Program
from .checks import Met
from .few import with_computed
from .variants import Import, Variants

ProgramAt: TypeAlias = Callable[[Sizes, FoundSizes, bool], Program]


@dataclass(frozen=True)
class Imports:
    """``program_at`` gives the program at certain sizes, dense or not, and meets what runs find.

    ``symbols`` are the sizes that are given, ``found`` will have the others, and ``named`` are the
    values of the model.
    """

    program_at: ProgramAt
    symbols: Sequence[Symbol]
    found: FoundSizes
    named: Collection[str]

    def programs(self) -> tuple[Program, ...]:
        """What runs the model at all sizes; raises as ``program_at`` does, and
        UnsupportedOperator."""
        programs = with_computed(self._programs)
        self.found.check_said()
        return programs

    def _programs(
        self, computed: Mapping[str, int], uncomputed: Collection[str]
    ) -> tuple[Program, ...]:
        """Where runs compute some numbers, and may not compute others."""
        found, largest = self.found, {symbol.name: symbol.most for symbol in self.symbols}
        found.symbols = []

        def import_at(sizes: Sizes, dense: bool) -> Import:
            met = self._met(sizes, computed)
            program = self.program_at(sizes, met, dense)
            found.symbols = found.symbols or met.symbols
            found.counted |= met.counted
            return Import(program, Met(sizes, met.notes))

        def possible_at(sizes: Sizes) -> Met:
            met = self._met(sizes, computed, possible=True)
            try:
                self.program_at(sizes, met, False)
            except LuthierError:
                return Met(met.settled, met.notes, complete=False)
            return Met(met.settled, met.notes)

        known = import_at(largest, dense=False)
        variants = Variants(
            self.symbols, import_at, possible_at, self.named, uncomputed, tuple(found.symbols)
        )
        variants.know(largest, known)
        return variants.programs()

    def _met(
        self, sizes: Sizes, computed: Mapping[str, int], *, possible: bool = False
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
        )
