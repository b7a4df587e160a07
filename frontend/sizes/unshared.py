"""Constants that happen to be equal at the sizes of one import, and are one value there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from luthier.schedules import Tensor

from ..graph.arrays import mark
from ..program import Call, Program, Step
from .computed import may_be_computed


def unshared(programs: Sequence[Program]) -> list[Program]:
    """The programs of a model at some sizes, in which each call has constants of its own, but for
    those that all programs have, and those of a few whole numbers, which are never one.

    Lists that are as long as is found, for one, are equal where as many are.
    """
    marks = [{mark(array) for array in program.constants.values()} for program in programs]
    same = set.intersection(*marks)
    return [_unshared(program, _varying(program, same)) for program in programs]


def _varying(program: Program, same: Collection[Any]) -> set[int]:
    arrays = program.constants.items()
    return {v for v, array in arrays if not may_be_computed(array) and mark(array) not in same}


def _unshared(program: Program, varying: Collection[int]) -> Program:
    apart = _Apart(program, varying, list(program.values), dict(program.constants))
    steps = tuple(apart.steps(program.steps))
    views = {**program.views, **apart.views}
    return replace(
        program,
        values=tuple(apart.values),
        constants=apart.constants,
        views=views,
        steps=steps,
    ).compact()


@dataclass
class _Apart:
    """The ``varying`` constants of a program, the first reader of each of which keeps it."""

    program: Program
    varying: Collection[int]
    values: list[Tensor]
    constants: dict[int, NDArray[Any]]

    def __post_init__(self) -> None:
        self.views: dict[int, int] = {}
        self._taken: set[int] = set()

    def steps(self, steps: Sequence[Step]) -> Iterator[Step]:
        """Steps whose calls read constants of their own."""
        for step in steps:
            if isinstance(step, Call):
                yield replace(step, args=tuple(map(self._own, step.args)))
            else:
                yield step.over(self.steps) if step.regions else step  # type: ignore[union-attr]

    def _own(self, value: int) -> int:
        base = self.program.base(value)
        if base not in self.varying:
            return value
        if base not in self._taken:
            self._taken.add(base)
            return value
        own = self._new(self.values[base])
        self.constants[own] = self.constants[base]
        if value != base:
            own, constant = self._new(self.values[value]), own
            self.views[own] = constant
        return own

    def _new(self, tensor: Tensor) -> int:
        self.values.append(tensor)
        return len(self.values) - 1
