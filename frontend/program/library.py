"""A library: several programs that are built as one; ``WeightPool`` stores equal weights once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from luthier.schedules.ir.core import require

from .core import Program
from .verify import verify

RUN = "run"


@dataclass(frozen=True)
class Library:
    """Entry points, by name: each runs its program."""

    name: str
    entries: Mapping[str, Program]

    @staticmethod
    def of(program: Program, name: str | None = None) -> Library:
        """The library that runs one program, whose name it has, if not another."""
        return Library(name or program.name, {RUN: program})


def verify_library(library: Library) -> None:
    """Raise IRError unless there are entry points, names of C functions, to programs that are."""
    require(bool(library.entries), "a library needs an entry point")
    for name, program in library.entries.items():
        fits = name.isascii() and name.isidentifier()
        require(fits, f"{name!r} is not the name of an entry point")
        verify(program)
