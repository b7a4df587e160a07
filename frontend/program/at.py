"""A program whose sizes are open, where each has a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from luthier.schedules import Tensor
from luthier.schedules.ir.placement import Placement
from luthier.schedules.ir.size import Sizes, value

from .core import Part, Program, State
from .steps import Branch, Call, Find, Loop, Step


def at(program: Program, sizes: Sizes) -> Program:
    """What the program does for these sizes, as a program whose sizes are fixed.

    No step finds a size: what is found is known. Constants whose sizes vary are the beginnings of
    the largest. States do not grow: what would be appended is written in place.
    """
    if not program.symbols:
        return program
    values = tuple(
        program.open[v].at(sizes) if v in program.open else tensor
        for v, tensor in enumerate(program.values)
    )
    fixed = replace(
        program,
        values=values,
        constants={v: _beginning(array, values[v]) for v, array in program.constants.items()},
        parts={v: _part(part, sizes) for v, part in program.parts.items()},
        open={},
        symbols=(),
        states=tuple(_state(state) for state in program.states),
        steps=(),
    )
    return replace(fixed, steps=_steps(program.steps, fixed.pitch, sizes))


def _beginning(array: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    return array[tuple(slice(size) for size in tensor.shape)]


def _part(part: Part, sizes: Sizes) -> Part:
    pitch = None if part.pitch is None else int(value(part.pitch, sizes))
    return Part(part.whole, int(value(part.first, sizes)), pitch)


def _state(state: State) -> State:
    return replace(state, axis=None, length="", more=0)


def _steps(
    steps: Sequence[Step], pitch: Callable[[int], int | None], sizes: Mapping[str, int]
) -> tuple[Step, ...]:
    return tuple(_step(step, pitch, sizes) for step in steps if not isinstance(step, Find))


def _step(step: Step, pitch: Callable[[int], int | None], sizes: Mapping[str, int]) -> Step:
    if isinstance(step, Loop | Branch):
        return step.over(lambda inner: _steps(inner, pitch, sizes))
    if not isinstance(step, Call) or step.open is None:
        return step
    placement = Placement.of([pitch(arg) for arg in step.args], pitch(step.result))
    return replace(step, workload=step.open.at(sizes), open=None, placement=placement)
