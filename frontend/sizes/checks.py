"""Whether a program is right for sizes that are found which it was not made from."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol

from ..program import Program, Refusal, at
from ..program.verify import verify
from .alignment import NotAlikeError
from .computed import with_none
from .few import ComputedError, Few, refused
from .fit import Points
from .rules import Broken, Notes, Rules

_MOST_REFUSED = 16  # sizes for which one comparison comes out otherwise


class Met(NamedTuple):
    """What an import at some ``sizes`` knew of the model's straight parts, all of them where it
    was ``complete``, but for those that are ``skipped``, by the names of values."""

    sizes: Sizes
    notes: Notes
    complete: bool = True
    skipped: Collection[str] = ()


@dataclass(frozen=True)
class Checks:
    """Of programs for the sizes of ``box``, made from imports that ``met`` this, of the largest
    sizes last.

    ``found`` are the sizes that runs find. ``possible_at`` gives what an import meets where sizes
    are the nearest to some that can be. ``named`` are the values of the model; those that are not
    ``uncomputed`` may be computed by a run.
    """

    box: Sequence[Symbol]
    found: Sequence[Symbol]
    met: Sequence[Met]
    possible_at: Callable[[Sizes], Met]
    named: Collection[str]
    uncomputed: Collection[str]

    @cached_property
    def _points(self) -> Points:
        return Points(tuple(self.box), tuple(each.sizes for each in self.met))

    @cached_property
    def _rules(self) -> Rules:
        return Rules(self._points, [each.notes for each in self.met], self.named)

    def ask_to_compute(self) -> None:
        """Raise ComputedError where there are numbers that no rule tells."""
        for met in self.met:
            self._broken(met)

    def check(self, others: Sequence[Met]) -> None:
        """Raise NotAlikeError, or ComputedError, where it is wrong for other sizes."""
        for met in others:
            if broken := self._broken(met):
                raise NotAlikeError(broken.reason)

    def uncompared(self) -> list[Sizes]:
        """Sizes for which comparisons that the imports know come out as in none of them."""
        some = [
            (*met.notes, *(each for p in met.notes for each in p.conditions)) for met in self.met
        ]
        rules = Rules(self._points, some, ())
        return list(rules.undecided([met.sizes for met in self.met], self.box))

    def for_few(self, program: Program) -> Program:
        """The program for sizes that are found which are less than those that it was made from; it
        ends a run for which it is wrong. One that has no use for a size finds none.

        Raises ComputedError.
        """
        names = {symbol.name for symbol in self.found}
        program = with_none(program, sorted(names - program.found))
        symbols = (replace(s, least=0) if s.name in names else s for s in program.symbols)
        program = replace(program, symbols=tuple(symbols))
        spread = random.Random(str(self.box))

        def wrong(few: Few) -> bool:
            ends = {s.name: spread.choice((s.least, s.most)) for s in self.box}
            met = self.possible_at({**ends, **few})
            met = met._replace(sizes={**dict.fromkeys(names, 0), **met.sizes})
            return bool(self._broken(met)) or not met.complete or not _fits(program, met.sizes)

        rare = self._compared()
        return _without(program, (*rare, *refused(self.found, wrong)))

    def _compared(self) -> list[Refusal]:
        """The sizes for which a comparison comes out otherwise than in all imports.

        Raises ComputedError, and NotAlikeError for many.
        """
        found = self._rules.otherwise(self.box)
        if asked := found.keys() - set(self.uncomputed):
            raise ComputedError(self._rules.following(asked))
        names, refusals = {symbol.name for symbol in self.found}, list[Refusal]()
        for name, choices in found.items():
            if len(choices) > _MOST_REFUSED or any(len(c) > 1 or set(c) - names for c in choices):
                raise NotAlikeError(f"'{name}' is another number for some sizes")
            refusals += [tuple(choice.items()) for choice in choices]
        return list(dict.fromkeys(refusals))

    def _broken(self, met: Met) -> Broken | None:
        broken = self._rules.broken(met.sizes, met.notes, whole=met.complete, skipped=met.skipped)
        numbers = broken.numbers if broken and self.found else {}
        if numbers and numbers.keys().isdisjoint(self.uncomputed):
            raise ComputedError(numbers)
        return broken


def _fits(program: Program, sizes: Sizes) -> bool:
    """Whether kernels fit one another at these sizes."""
    try:
        verify(at(program, sizes))
    except IRError:
        return False
    return True


def _without(program: Program, refusals: Sequence[Refusal]) -> Program:
    """The program that ends a run which finds one of these."""
    alone = {one for refusal in refusals if len(refusal) == 1 for one in refusal}

    def least(symbol: Symbol) -> int:
        sizes = range(symbol.least, symbol.most + 1)
        return next((size for size in sizes if (symbol.name, size) not in alone), symbol.most)

    symbols = tuple(s if s.exact else replace(s, least=least(s)) for s in program.symbols)
    return replace(program, symbols=symbols, refuses=tuple(refusals))
