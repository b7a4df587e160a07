"""Programs that together run a model at all sizes that it may have."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from luthier.schedules import UnsupportedOperator
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol

from ..control.found_sizes import as_many
from ..program import Program, at
from ..program.verify import verify
from .alignment import NotAlikeError, OtherTableError
from .checks import Checks, Met
from .fit import UndecidedError
from .generalise import LiesOtherwiseError, Sample, generalise
from .imported import Import, ImportAt, Imported, MovedError
from .probes import Box, neighbours, probes
from .ranks import check_ranks
from .scopes import check_scopes

_OTHERS = 4  # sizes that are tried in place of some
_LESS = 8  # times a bound that is proposed
_VERIFIED = 8  # others, for which it is checked that kernels fit one another
_ROUNDS = 40  # of sizes that decide between expressions


class Division(NamedTuple):
    """At the ``size`` from which on a symbol's programs are others, and why."""

    symbol: Symbol
    size: int
    reason: NotAlikeError | None


class AloneError(NotAlikeError):
    """A model is another for one ``size`` of a symbol."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(f"the model is another for {name}={size}")
        self.name, self.size = name, size


@dataclass
class Variants:
    """Finds them. ``import_at`` gives the program at certain sizes, where tensors are dense or not.

    Sizes that are exact get a program each, and so does 0: of what has no elements all is known. A
    range gets one where its programs are alike, else it
    is divided at the size where they begin to differ: a model may do something else for one token.
    Sizes that runs find divide nothing: one program must do for all of them, made from two and more
    of each. Whether it does for none and one is asked of imports ``possible_at`` these, in which
    sizes are the nearest that can be; for what it does not, it ends the run. ``named`` are the
    values of the model; those that are not ``uncomputed`` may be computed by a run. Where runs
    ``may_compute`` tables, a table that is another for other sizes divides nothing: it is raised.
    """

    symbols: Sequence[Symbol]
    import_at: ImportAt
    possible_at: Callable[[Sizes], Met]
    named: Collection[str] = ()
    uncomputed: Collection[str] = ()
    found: Sequence[Symbol] = ()
    may_compute: bool = False

    def __post_init__(self) -> None:
        self._imported = Imported(self.symbols, self.import_at)

    def know(self, sizes: Sizes, known: Import) -> None:
        """Spare an import, whose tensors need not be dense."""
        self._imported.know(sizes, known)

    def programs(self) -> tuple[Program, ...]:
        """The variants of an entry point; raises UnsupportedOperator where they would be many, or
        where an output has another rank in some, and OtherTableError."""
        try:
            programs = tuple(self._programs())
        except LiesOtherwiseError:
            self._imported.make_dense()
            programs = tuple(self._programs())
        check_ranks(programs)
        return programs

    def _programs(self) -> Iterator[Program]:
        exact = [symbol for symbol in self.symbols if symbol.exact]
        for chosen in itertools.product(*(symbol.exact for symbol in exact)):
            one = {s.name: Symbol(s.name, n, n) for s, n in zip(exact, chosen, strict=True)}
            box = tuple(one.get(s.name, s) for s in self.symbols)
            yield from self._divided((*box, *map(as_many, self.found)), None)

    def _divided(self, box: Box, reason: NotAlikeError | None) -> Iterator[Program]:
        """The programs of a box, the one of the largest sizes first."""
        most = _most(box)
        if all(symbol.least == symbol.most for symbol in box):
            yield replace(self._imported.alone(most, reason).program, symbols=box)
            return
        apart = self._none_apart(box) or self._one_apart(box, reason)
        found = Division(*apart, reason) if apart else self._one_or_divided(box, reason)
        if isinstance(found, Program):
            yield found
            return
        symbol, size, reason = found
        for part in (replace(symbol, least=size), replace(symbol, most=size - 1)):
            yield from self._divided(tuple(part if s is symbol else s for s in box), reason)

    def _one_or_divided(self, box: Box, reason: NotAlikeError | None) -> Program | Division:
        """One program, or where to divide the box: what is met at some of its sizes is kept at
        all."""
        self._imported.begin(box)
        while True:
            with suppress(MovedError):
                try:
                    program = self._generalised(box, reason)
                    self._imported.allow_more()
                    return program
                except LiesOtherwiseError:
                    raise
                except AloneError as error:
                    symbol = next(s for s in box if s.name == error.name)
                    return Division(symbol, error.size + 1, error)
                except NotAlikeError as error:
                    if self.may_compute and isinstance(error, OtherTableError):
                        raise
                    return Division(*self._difference(box, error), error)

    def _none_apart(self, box: Box) -> tuple[Symbol, int] | None:
        """Where a size that is given may be none."""
        named = box[: len(self.symbols)]
        return next(((s, 1) for s in named if s.least == 0 < s.most), None)

    def _one_apart(self, box: Box, reason: NotAlikeError | None) -> tuple[Symbol, int] | None:
        """Where the model is another for one element, as where it broadcasts that: a division."""
        most = _most(box)
        for symbol in box:
            if symbol.least == 1 < symbol.most:
                one, two = ({**most, symbol.name: n} for n in (1, 2))
                keys = [self._imported.alone(sizes, reason).keys for sizes in (one, two)]
                if len({each.structure for each in keys}) > 1:
                    return symbol, 2
        return None

    def _generalised(self, box: Box, reason: NotAlikeError | None) -> Program:
        most = _most(box)
        last = self._sample(most, reason)
        samples = [self._sample(sizes, reason) for sizes in probes(box)]
        apart = self._apart(samples, box, reason)
        samples = [sample for sample in samples if sample not in apart]
        for _ in range(_ROUNDS):
            checks = self._checks(box, [*samples, last])
            try:
                program = generalise([*samples, last], box)
            except UndecidedError as undecided:
                samples.append(self._deciding(undecided.sizes, box, reason))
                continue
            except LiesOtherwiseError:
                raise
            except NotAlikeError:
                if self.found and all(s.least == s.most for s in box[: len(self.symbols)]):
                    checks.ask_to_compute()
                raise
            check_scopes(program)
            _check(program, box, [sample.sizes for sample in apart])
            more = [] if self.found else self._compared(checks, box, reason)
            if more:
                samples += more
                continue
            if apart:
                checks.check([self._imported.at(sample.sizes).met for sample in apart])
            return checks.for_few(program) if self.found else program
        raise NotAlikeError("the numbers of its kernels follow no rule that is known")

    def _deciding(self, sizes: Sizes, box: Box, reason: NotAlikeError | None) -> Sample:
        """Of sizes that decide between expressions, or of others where they are apart."""
        sample = self._sample(sizes, reason)
        spread = random.Random(str(sizes))
        for _ in range(_OTHERS if self._is_apart(sample, box, reason) else 0):
            some = {s.name: spread.randint(s.least, s.most) for s in box}
            other = self._sample(some, reason)
            if not self._is_apart(other, box, reason):
                return other
        return sample

    def _compared(self, checks: Checks, box: Box, reason: NotAlikeError | None) -> list[Sample]:
        """Sizes for which comparisons come out otherwise than in all imports yet, where the model
        is alike; raises AloneError where it is not for one size, and NotAlikeError where it is not
        for sizes that are together something that others are not."""
        alike, most = list[Sample](), _most(box)
        known = [met.sizes for met in checks.met]
        for choice in checks.uncompared():
            sizes = {**most, **choice}
            if sizes in known:
                continue
            sample = self._sample(sizes, reason)
            if sample.keys.structure == self._structure(most, reason):
                alike.append(sample)
            elif len(choice) == 1:
                raise AloneError(*next(iter(choice.items())))
            else:
                checks.check([self._imported.at(sizes).met])
        return alike

    def _checks(self, box: Box, samples: Sequence[Sample]) -> Checks:
        met = [self._imported.at(sample.sizes).met for sample in samples]
        return Checks(box, self.found, met, self.possible_at, self.named, self.uncomputed)

    def _apart(
        self, samples: Sequence[Sample], box: Box, reason: NotAlikeError | None
    ) -> list[Sample]:
        """The few that need not be alike."""
        whole = self._structure(_most(box), reason)
        others = [sample for sample in samples if sample.keys.structure != whole]
        apart = [s for s in others if self._is_apart(s, box, reason)] if self.found else others
        if len(apart) > len(samples) // 2:
            return []
        is_each = self.found or all(self._is_apart(sample, box, reason) for sample in apart)
        return apart if is_each else []

    def _is_apart(self, sample: Sample, box: Box, reason: NotAlikeError | None) -> bool:
        """Whether a program is another for what is found, and not for what is given; or, where
        nothing is found, for this one size among its neighbours: where a size happens to be what
        another is, there is less to do."""
        most, sizes = _most(box), sample.sizes
        whole = self._structure(most, reason)
        if sample.keys.structure == whole:
            return False
        if self.found:
            given = {symbol.name: sizes[symbol.name] for symbol in self.symbols}
            return self._structure({**most, **given}, reason) == whole
        return any(
            all(self._structure(each, reason) == whole for each in neighbours(sizes, symbol))
            for symbol in box
            if symbol.least < symbol.most
        )

    def _difference(self, box: Box, reason: NotAlikeError) -> tuple[Symbol, int]:
        """A symbol, and the smallest size from which on the model is as it is for the largest."""
        most = _most(box)
        largest = self._structure(most, reason)
        named = box[: len(self.symbols)]
        for symbol in named:
            low, high = symbol.least, symbol.most
            if self._structure({**most, symbol.name: low}, reason) == largest:
                continue
            while high - low > 1:
                middle = (low + high) // 2
                same = self._structure({**most, symbol.name: middle}, reason) == largest
                low, high = (low, middle) if same else (middle, high)
            return symbol, high
        for symbol in named:
            if symbol.least == 1 < symbol.most and self._is_alike(box, symbol, reason):
                return symbol, 2
        if all(symbol.least == symbol.most for symbol in named):
            found = ", ".join(symbol.name for symbol in self.found)
            widest = max(self.found, key=lambda symbol: symbol.most)
            less = as_many(replace(widest, most=widest.most // _LESS)).most
            advice = f"; a smaller bound may do, such as --bound {widest.name}={less}"
            raise UnsupportedOperator(
                f"one program cannot run the model for all sizes that it may find ({found}): "
                f"{reason}{advice if less < widest.most else ''}"
            )
        widest = max(named, key=lambda symbol: symbol.most - symbol.least)
        return widest, (widest.least + widest.most + 1) // 2

    def _is_alike(self, box: Box, symbol: Symbol, reason: NotAlikeError) -> bool:
        """Whether it would be one program if the symbol were more than 1."""
        try:
            self._generalised(tuple(replace(s, least=2) if s is symbol else s for s in box), reason)
        except NotAlikeError:
            return False
        return True

    def _structure(self, sizes: Sizes, reason: NotAlikeError | None) -> str:
        return self._imported.at(sizes, reason).keys.structure

    def _sample(self, sizes: Sizes, reason: NotAlikeError | None) -> Sample:
        return Sample(sizes, self._imported.at(sizes, reason).keys)


def _check(program: Program, box: Box, others: Sequence[Sizes]) -> None:
    """Raise NotAlikeError where it is wrong at some sizes, none of which it was made from."""
    spread = random.Random(str(box))
    some = [{s.name: spread.randint(s.least, s.most) for s in box} for _ in range(_VERIFIED)]
    some += map(dict, others)
    try:
        verify(program)
        for sizes in some:
            verify(at(program, sizes))
    except IRError as error:
        raise NotAlikeError(f"its kernels do not fit one another for all sizes: {error}") from error


def _most(box: Box) -> dict[str, int]:
    return {symbol.name: symbol.most for symbol in box}
