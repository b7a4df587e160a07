"""A library: what is built as one; ``WeightPool`` stores equal weights once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from luthier.schedules import Tensor
from luthier.schedules.ir.core import require
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ir.symbol import Symbol

from .argument import Argument
from .core import Program
from .verify import verify

RUN = "run"


@dataclass(frozen=True)
class Entry:
    """An entry point. ``symbols`` are the sizes that it is given, and ``variants`` its programs,
    each for a box of these; all have the inputs and outputs of the first, up to sizes.

    A program of fixed sizes is the one variant of an entry without symbols. ``labels`` are the
    texts for which the whole numbers of an output stand, by its name. ``texts`` are the inputs and
    outputs that are texts: rows of bytes in the last dimension. ``takes`` says which inputs belong
    together, where one of the model is not one tensor. ``processing`` says in a line what is done
    to inputs and outputs beside what the model does, by their names. ``keys`` are those of inputs
    that are maps, of each column one.
    """

    symbols: tuple[Symbol, ...]
    variants: tuple[Program, ...]
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()
    takes: tuple[Argument, ...] = ()
    processing: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...] | tuple[int, ...]] = field(default_factory=dict)

    @staticmethod
    def of(program: Program) -> Entry:
        """What runs one program."""
        return Entry(program.given, (program,))

    @property
    def gives(self) -> tuple[Argument, ...]:
        """Which outputs belong together, where one of the model is not one tensor."""
        return self.variants[0].gives

    @property
    def lengths(self) -> tuple[Symbol, ...]:
        """Those of its symbols that say how much states hold, which an instance knows itself."""
        names = {state.length for program in self.variants for state in program.states}
        return tuple(symbol for symbol in self.symbols if symbol.name in names)

    @property
    def sizes(self) -> tuple[Symbol, ...]:
        """Its other symbols, which a caller sets; they come first."""
        return self.symbols[: len(self.symbols) - len(self.lengths)]

    def variant(self, sizes: Sizes) -> Program | None:
        """The first for these sizes; None where there is none."""
        fits = (p for p in self.variants if all(sizes[s.name] in s for s in p.given))
        return next(fits, None)


@dataclass(frozen=True)
class Library:
    """Entry points, by name."""

    name: str
    entries: Mapping[str, Entry]

    @staticmethod
    def of(program: Program, name: str | None = None) -> Library:
        """The library that runs one program, whose name it has, if not another."""
        return Library(name or program.name, {RUN: Entry.of(program)})

    @property
    def programs(self) -> tuple[Program, ...]:
        """All variants of all entries, in order."""
        return tuple(program for entry in self.entries.values() for program in entry.variants)


def verify_library(library: Library) -> None:
    """Raise IRError unless there are entry points, names of C functions, to programs that are.

    Variants of an entry have the same symbols, inputs, outputs and states, and each choice of the
    symbols' ends has one. States of one name have one type in all entries.
    """
    kept: dict[str, Tensor] = {}
    require(bool(library.entries), "a library needs an entry point")
    for name, entry in library.entries.items():
        fits = name.isascii() and name.isidentifier()
        require(fits, f"{name!r} is not the name of an entry point")
        require(bool(entry.variants), f"the entry point {name!r} has no program")
        for program in entry.variants:
            verify(program)
            require(_ports(program) == _ports(entry.variants[0]), f"{name!r}: variants differ")
            require(program.gives == entry.gives, f"{name!r}: variants give other sequences")
            _verify_arguments(name, entry.takes, program.inputs)
            _verify_arguments(name, program.gives, program.outputs)
            found = [_found(each) for each in (program, entry.variants[0])]
            require(found[0] == found[1], f"{name!r}: variants find other sizes")
            for state in program.states:
                tensor = program.values[state.before]
                same = kept.setdefault(state.name, tensor) == tensor
                require(same, f"the state {state.name!r} has two types")
            names = [symbol.name for symbol in program.given]
            require(names == [s.name for s in entry.symbols], f"{name!r}: variants have own sizes")
        require(entry.lengths == entry.symbols[len(entry.sizes) :], f"{name!r}: sizes are mixed up")
        for ends in itertools.product(*((s.least, s.most) for s in entry.symbols)):
            sizes = dict(zip((s.name for s in entry.symbols), ends, strict=True))
            require(entry.variant(sizes) is not None, f"{name!r}: nothing runs {sizes}")


def _verify_arguments(
    name: str, arguments: Sequence[Argument], ports: Sequence[tuple[str, int]]
) -> None:
    """All inputs or outputs belong to one argument each, in order, where there are any."""
    wanted = [tensor for argument in arguments for tensor in argument.tensors]
    fits = not arguments or wanted == [port for port, _ in ports]
    require(fits, f"{name!r}: its arguments are not its inputs or outputs: {wanted}")


def _found(program: Program) -> set[Symbol]:
    return set(program.symbols) - set(program.given)


def _ports(program: Program) -> list[tuple[str, str, int]]:
    """Names, types and ranks of inputs, outputs and states."""
    ports = [*program.inputs, *program.outputs, *((s.name, s.before) for s in program.states)]
    return [(name, program.values[v].dtype, len(program.values[v].shape)) for name, v in ports]
