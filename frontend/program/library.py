"""A library: several programs that are built as one, over one pool of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    @property
    def weights(self) -> tuple[NDArray[Any], ...]:
        """The arrays of all constants, each once."""
        arrays = (a for program in self.entries.values() for a in program.constants.values())
        return tuple({id(array): array for array in arrays}.values())

    def pooled(self) -> Library:
        """The same with one array for all constants of a type that have equal bytes."""
        pool: dict[tuple[object, ...], NDArray[Any]] = {}

        def shared(array: NDArray[Any]) -> NDArray[Any]:
            data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            digest = hashlib.sha256(data).digest()
            return pool.setdefault((array.shape, array.dtype, digest), array)

        entries = {
            name: replace(program, constants={v: shared(a) for v, a in program.constants.items()})
            for name, program in self.entries.items()
        }
        return Library(self.name, entries)


def verify_library(library: Library) -> None:
    """Raise IRError unless there are entry points, names of C functions, to programs that are."""
    require(bool(library.entries), "a library needs an entry point")
    for name, program in library.entries.items():
        fits = name.isascii() and name.isidentifier()
        require(fits, f"{name!r} is not the name of an entry point")
        verify(program)
