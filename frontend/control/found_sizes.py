"""The sizes that the runs of a model find.

Where a model is imported at certain sizes, these are taken to be something, too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import onnx

from luthier.schedules import LuthierError, ModelError, UnsupportedOperator
from luthier.schedules.ir.symbol import Symbol

from ..graph import Array
from ..onnx.notes import PartNotes
from .origins import Element, Origin

_MOST, MOST_FOUND = 64, 1 << 22  # sizes of a model, and what each may be
_PROPOSED = 1024  # the largest of one of which nothing tells it
_FEW, _MANY = 2, 8  # a range that tells numbers from expressions


class FoundInsideError(UnsupportedOperator):
    """A size would be found in a loop or branch, by a node; ``because`` says more, or ``says`` what
    else it is."""

    def __init__(self, label: str, node: onnx.NodeProto, because: str = "", says: str = "") -> None:
        says = says or "a size that is found in a loop or branch is not supported"
        super().__init__(f"{label}: {says}{because}")
        self.label, self.node = label, node


def as_many(symbol: Symbol) -> Symbol:
    """A range of a size that is found in which it stands for itself."""
    return replace(symbol, least=_FEW, most=max(symbol.most, _MANY))


class Computed(NamedTuple):
    """A number that a run computes from sizes, and the most that it may be."""

    number: int
    most: int


@dataclass
class FoundSizes:
    """``symbols`` are these sizes, as the import meets them.

    Each is ``taken`` to be a number, or else as large as it may be; where that must be
    ``possible``, it is the nearest that this can be beside those before it. ``given`` are the
    names of the model's other sizes. ``bounds`` are the largest that a user says they may be, by
    name, and ``largest`` those that they are taken to be in any import. ``counts`` are how many
    tensors sequences have of which values decide that, by name; those that were asked for are
    ``counted``. ``origins`` are the numbers of the model that they are. No run can find more than
    the bounds of those that are ``sure``. Values that are ``computed`` by runs, though they follow
    from sizes, are given with the most that a number of theirs may be; ``numbers`` are what these
    are in this import, and ``results`` the same by values of the program. ``notes`` are what the
    import knew of the model's straight parts. ``short`` are the values that take some of what is
    found, or pad it; they have sizes of their own unless the import is ``plain``, as one is that
    tells shapes alone. Of values by name, dimensions that are ``fixed`` follow from none of this.
    In loops what can be none or one is one while it is ``single``: a run that finds none ends.
    While it is ``inside``, sizes may be found in loops and branches: each time anew, and known
    there alone. What is ``skipped``, by name, is in loops that do not run at these sizes.
    ``searches`` are the results of what was looked for, by what and in what, and ``lists`` how long
    some are, by their use and name. Those that are
    ``unbounded``, each with who finds it, may be as large as is proposed until somebody says more.
    ``ways`` are those in which loops were taken in imports so far (``ways.WAYS``), and ``alike``
    says of two lists whether they were as long in all of these. While it ``retakes`` some, shapes
    are all that is looked at.
    """

    taken: dict[str, int] = field(default_factory=dict)
    given: Collection[str] = ()
    bounds: Mapping[str, int] = field(default_factory=dict)
    largest: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    symbols: list[Symbol] = field(default_factory=list)
    counted: set[str] = field(default_factory=set)
    origins: dict[Origin, str] = field(default_factory=dict)
    sure: set[str] = field(default_factory=set)
    possible: bool = False
    computed: Mapping[str, int] = field(default_factory=dict)
    numbers: dict[Origin, Computed] = field(default_factory=dict)
    results: dict[int, Array] = field(default_factory=dict)
    notes: list[PartNotes] = field(default_factory=list)
    short: set[str] = field(default_factory=set)
    plain: bool = False
    fixed: Mapping[str, Collection[int]] = field(default_factory=dict)
    single: bool = False
    inside: bool = False
    skipped: set[str] = field(default_factory=set)
    searches: dict[tuple[object, ...], Sequence[int]] = field(default_factory=dict)
    unbounded: dict[str, str] = field(default_factory=dict)
    ways: dict[tuple[str, bool, bool], tuple[bool, bool]] = field(default_factory=dict)
    alike: dict[tuple[str, str], bool] = field(default_factory=dict)
    lists: dict[str, dict[str, int]] = field(default_factory=dict)
    retakes: bool = False

    def count(self, sequence: str, label: str) -> int:
        """How many tensors a sequence has; raises UnsupportedOperator where nobody says it."""
        if sequence not in self.counts:
            raise UnsupportedOperator(
                f"{label}: data decide how many tensors the sequence '{sequence}' has: say how "
                f"many, such as --shape {sequence}=3 or shapes={{'{sequence}': 3}}"
            )
        self.counted.add(sequence)
        return self.counts[sequence]

    @property
    def settled(self) -> dict[str, int]:
        """What sizes are taken to be, those that were met and those that are given."""
        known = {*self.given, *(symbol.name for symbol in self.symbols)}
        return {name: size for name, size in self.taken.items() if name in known}

    def of(self, origin: Origin | None) -> str:
        """The name of the one that a number of the model is; "" where none is."""
        return self.origins.get(origin, "") if isinstance(origin, Element) else ""

    def number(self, name: str) -> int:
        """What one is taken to be."""
        return self.taken.get(name, self.most(name))

    def add(
        self,
        output: str,
        most: int | None,
        label: str,
        origin: Origin | None = None,
        least: int = 0,
        sure: int | None = None,
    ) -> tuple[str, int]:
        """A new one, of what gives ``output``: its name, and what it is taken to be.

        ``most`` is the largest that it can be, None where only a bound tells, and ``least`` the
        smallest; ``origin`` is the number of the model that it is, and ``sure`` the most that this
        can be by what it is computed from.
        """
        if len(self.symbols) == _MOST:
            raise UnsupportedOperator(f"{label}: more than {_MOST} sizes that runs find")
        wanted = "found_" + re.sub(r"[^A-Za-z0-9]+", "_", output)[:40].strip("_")
        names = {*self.given, *(symbol.name for symbol in self.symbols)}
        others = (f"{wanted}_{i}" for i in itertools.count())
        name = next(n for n in itertools.chain([wanted], others) if n not in names)
        if sure is None and isinstance(origin, Element) and origin in self.numbers:
            sure = self.numbers[origin].most
        if sure is not None:
            most = sure if most is None else min(most, sure)
        if most is None and name not in self.bounds:
            self.unbounded[name], most = label, _PROPOSED
        known = (self.bounds.get(name), most)
        most = min(each for each in known if each is not None)
        if most > MOST_FOUND:
            raise UnsupportedOperator(
                f"{label}: it may find as many as {most}, and {MOST_FOUND} are supported: give a "
                f"bound, such as --bound {name}={_PROPOSED}"
            )
        self.symbols.append(Symbol(name, 0, most))
        if isinstance(origin, Element):
            self.origins[origin] = name
        if self.possible:
            told = self.numbers.get(origin) if isinstance(origin, Element) else None
            number = self.taken.get(name, most) if told is None else told.number
            self.taken[name] = max(least, min(number, most))
        return name, self.taken.get(name, most)

    def none(self, output: str, label: str) -> None:
        """Meet one where there is nothing to find anything in: it is 0 where that is ``possible``,
        and what is found after it has the name that it has at other sizes."""
        if self.possible:
            self.add(output, 0, label)

    @contextmanager
    def asking_bounds(self) -> Iterator[None]:
        """Raise UnsupportedOperator after an import, or in place of an error that may be of what is
        proposed, where nothing says how large some of them may be."""
        try:
            yield
        except ModelError as error:
            if not (isinstance(error, UnsupportedOperator) and error.operators):
                self._ask_bounds(error)
            raise
        self._ask_bounds()

    def _ask_bounds(self, cause: LuthierError | None = None) -> None:
        labels = list(dict.fromkeys(self.unbounded.values()))
        if not labels:
            return
        one = len(self.unbounded) == 1
        others = f", as are those of {', '.join(labels[1:])}" if labels[1:] else ""
        bounds = " ".join(f"--bound {name}={_PROPOSED}" for name in self.unbounded)
        raise UnsupportedOperator(
            f"{labels[0]}: data decide how large its result is{others}, and nothing says how large "
            f"{'that' if one else 'these'} may be: give {'a bound' if one else 'bounds'}, such as "
            f"{bounds}"
        ) from cause

    def as_long(self, use: str, name: str, length: int) -> str:
        """The first of the lists with the same ``use`` that is as long as another one is; this one
        where none is. Those that were not in another import are so by chance."""
        lists = self.lists.setdefault(use, {})
        for first, known in lists.items():
            same = known == length and self.alike.get((first, name), True)
            self.alike[first, name] = same
            if same:
                return first
        lists[name] = length
        return name

    def be_sure(self, names: Iterable[str]) -> None:
        """Say that no run can find more than these can be, unless a user says less."""
        self.sure.update(name for name in names if name and name not in self.bounds)

    def forget(self, count: int) -> None:
        """Keep the first so many alone."""
        gone = {symbol.name for symbol in self.symbols[count:]}
        del self.symbols[count:]
        self.unbounded = {n: label for n, label in self.unbounded.items() if n not in gone}
        for origin in [origin for origin, name in self.origins.items() if name in gone]:
            del self.origins[origin]

    @contextmanager
    def within(self, *, single: bool, inside: bool) -> Iterator[None]:
        """Let these be so meanwhile."""
        before = self.single, self.inside
        self.single, self.inside = single, inside
        try:
            yield
        finally:
            self.single, self.inside = before

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is found meanwhile is not known after it: it may not run, or find another size in
        each iteration."""
        origins, searches = dict(self.origins), dict(self.searches)
        try:
            yield
        finally:
            self.origins, self.searches = origins, searches

    @contextmanager
    def retaken(self, count: int, taken: Mapping[str, int]) -> Iterator[None]:
        """Meanwhile what is found after the first so many is found again, and taken to be something
        else; nothing of that is kept."""
        own, notes, before = dict(self.taken), len(self.notes), self.retakes
        symbols, unbounded = self.symbols[count:], dict(self.unbounded)
        self.forget(count)
        self.taken |= taken
        self.retakes = True
        try:
            yield
        finally:
            self.forget(count)
            self.symbols += symbols
            self.unbounded, self.retakes = unbounded, before
            self.taken.clear()
            self.taken |= own
            del self.notes[notes:]

    def most(self, name: str) -> int:
        """The largest that one may be."""
        return next(symbol for symbol in self.symbols if symbol.name == name).most

    def room(self, name: str) -> int:
        """The largest that one is taken to be in any import."""
        symbol = next(symbol for symbol in self.symbols if symbol.name == name)
        return max(as_many(symbol).most, self.largest.get(name, 0))

    def check_said(self) -> None:
        """Raise ModelError for a bound of no size that runs find, or a number of tensors of no
        sequence that values decide."""
        for name in self.counts.keys() - self.counted:
            raise ModelError(
                f"a number of tensors is given for '{name}', but no value decides how many it has"
            )
        names = [symbol.name for symbol in self.symbols]
        for name in self.bounds:
            if name not in names:
                raise ModelError(
                    f"a bound is given for '{name}', but the sizes that a run finds are: "
                    f"{', '.join(names) or 'none'}"
                )
