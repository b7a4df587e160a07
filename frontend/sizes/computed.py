"""Constants that follow from the sizes: computed at run time, number by number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Tensor, Workload
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.workload import Node, node

from ..program import Call, Find, Loop, Program, Step
from ..program.steps import walk

_MOST_NUMBERS = 16

Array = NDArray[Any]
Fit = Callable[[Sequence[int]], int | Size | None]


def may_be_computed(array: Array) -> bool:
    """Whether it has few enough whole numbers."""
    return array.dtype.kind in "iu" and 0 < array.size <= _MOST_NUMBERS


def numbers(arrays: Sequence[Array], fit: Fit) -> tuple[int | Size, ...] | None:
    """The elements of arrays that are what one constant is for several sizes; None where they are
    no few whole numbers that follow from the sizes."""
    first = arrays[0]
    if not may_be_computed(first) or any(array.shape != first.shape for array in arrays):
        return None
    found = [fit([int(n) for n in each]) for each in zip(*(a.flat for a in arrays), strict=True)]
    return None if None in found else tuple(n for n in found if n is not None)


def with_numbers(program: Program, value: int, elements: Sequence[int | Size]) -> Program:
    """The program in which a constant is computed of its elements when their sizes are known."""
    tensor = program.values[value]
    flat = Tensor((len(elements),), tensor.dtype)
    values, views = (*program.values, flat), {**program.views, value: len(program.values)}
    constants = {v: array for v, array in program.constants.items() if v != value}
    largest = {symbol.name: symbol.most for symbol in program.symbols}
    written = OpenWorkload(_written(elements, tensor.dtype))
    call = Call(written.at(largest), (), len(program.values), "sizes", open=written)
    names = frozenset().union(*(n.names for n in elements if isinstance(n, Size)))
    steps = inserted(program.steps, names, call)
    return replace(program, values=values, views=views, constants=constants, steps=steps)


def with_none(program: Program, names: Sequence[str]) -> Program:
    """The program that finds these sizes, too, each of which is 0."""
    if not names:
        return program
    zero = len(program.values)
    return replace(
        program,
        values=(*program.values, Tensor((), "int64")),
        constants={**program.constants, zero: np.array(0)},
        steps=(*(Find(name, zero) for name in names), *program.steps),
    )


def inserted(steps: Sequence[Step], names: frozenset[str], call: Call) -> tuple[Step, ...]:
    """Steps with a call where all of these sizes are known first, which may be in a loop."""
    for i, step in enumerate(steps):
        if isinstance(step, Loop) and not names.isdisjoint(_found_in(step)):
            inside = step.over(lambda inner: inserted(inner, names, call))
            return (*steps[:i], inside, *steps[i + 1 :])
    found = (i for i, step in enumerate(steps) if isinstance(step, Find) and step.size in names)
    first = max(found, default=-1) + 1
    return (*steps[:first], call, *steps[first:])


def _found_in(loop: Loop) -> frozenset[str]:
    return frozenset(step.size for step in walk(loop.body) if isinstance(step, Find))


def _written(elements: Sequence[int | Size], dtype: str) -> Workload:
    """Each element a literal, and these one after the other."""
    one, number = Tensor((1,), dtype), Tensor((), dtype)
    nodes: list[Node] = []
    for element in elements:
        nodes.append(node("const", (), number, value=element))  # type: ignore[arg-type]
        nodes.append(node("broadcast_to", (len(nodes) - 1,), one))
    if len(elements) > 1:
        pieces = tuple(range(1, len(nodes), 2))
        nodes.append(node("concat", pieces, Tensor((len(elements),), dtype), axis=0))
    return Workload((), (), tuple(nodes))
