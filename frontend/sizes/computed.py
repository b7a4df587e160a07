"""Constants that follow from the sizes: computed at run time, number by number or run by run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Tensor, Workload
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.workload import Node, node

from ..program import Branch, Call, Find, Loop, OpenTensor, Part, Program, Step

_MOST_NUMBERS, _MOST_RUNS = 16, 256

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


class Runs(NamedTuple):
    """What a constant has along an axis: a number for as long as this says, then the next one."""

    axis: int
    values: tuple[int | float | bool, ...]
    lengths: tuple[int | Size, ...]


def runs(arrays: Sequence[Array], fit: Fit) -> Runs | None:
    """Of arrays that are what one constant is for several sizes, as the classes of what is found
    are; None where other numbers lie in them, or these as often as no rule tells."""
    shapes = {array.shape for array in arrays}
    axes = [i for i, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1]
    if len(axes) != 1 or any(math.prod(shape[: axes[0]]) != 1 for shape in shapes):
        return None  # parts of it would not be dense
    found = [_runs(array, axes[0]) for array in arrays]
    known = [each for each in found if each is not None]
    if len(known) < len(found) or len({values for values, _ in known}) > 1:
        return None
    lengths = [fit(each) for each in zip(*(lengths for _, lengths in known), strict=True)]
    if None in lengths:
        return None
    return Runs(axes[0], known[0][0], tuple(n for n in lengths if n is not None))


def _runs(array: Array, axis: int) -> tuple[tuple[int | float | bool, ...], list[int]] | None:
    if not array.size or array.dtype.kind not in "biuf":
        return None
    rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    if not (rows == rows[:, :1]).all():
        return None
    line = rows[:, 0]
    first = np.flatnonzero(np.concatenate([[True], line[1:] != line[:-1]]))
    if len(first) > _MOST_RUNS:
        return None
    return tuple(line[first].tolist()), np.diff([*first, len(line)]).tolist()


def with_runs(program: Program, value: int, found: Runs) -> Program:
    """The program in which a constant is made of its runs, each when its length is known."""
    tensor = program.type(value)
    before, inner = (tensor.shape[: found.axis], tensor.shape[found.axis + 1 :])
    largest = {symbol.name: symbol.most for symbol in program.symbols}
    values, parts, steps = list(program.values), dict(program.parts), program.steps
    types, begin = dict(program.open), cast(Any, 0)
    for number, length in zip(found.values, found.lengths, strict=True):
        shape: Any = (*before, length, *inner)
        literal = node("const", (), Tensor((), tensor.dtype), value=number)
        spread = node("broadcast_to", (0,), Tensor(shape, tensor.dtype))
        written = OpenWorkload(Workload((), (), (literal, spread)))
        fixed, part = written.at(largest), len(values)
        values.append(fixed.output)
        if written.names:
            types[part] = OpenTensor(shape, tensor.dtype)
        parts[part] = Part(value, begin)
        call = Call(fixed, (), part, "sizes", open=written if written.names else None)
        names = written.names | (begin.names if isinstance(begin, Size) else frozenset())
        steps = inserted(steps, names, call)
        begin = begin + math.prod(shape)
    constants = {v: array for v, array in program.constants.items() if v != value}
    return replace(
        program, values=tuple(values), constants=constants, parts=parts, open=types, steps=steps
    )


class Bounded(NamedTuple):
    """What a constant is: the beginning of the one of the largest sizes, but at most this number,
    as are the places of the neighbours of each element where there is none after the last."""

    most: int | Size


def bounded(array: Array, others: Sequence[Array], fit: Fit) -> Bounded | None:
    """Of arrays that are what one constant is for several sizes, and is ``array`` for the largest;
    None where they are not such."""
    if array.dtype.kind not in "iu" or not all(other.size for other in others):
        return None
    most = [int(other.max()) for other in others]
    for other, number in zip(others, most, strict=True):
        beginning = array[tuple(map(slice, other.shape))]
        if not np.array_equal(np.minimum(beginning, number), other):
            return None
    found = fit(most)
    return None if found is None else Bounded(found)


def with_bounded(program: Program, value: int, found: Bounded) -> Program:
    """The program in which a constant is made of the one of the largest sizes."""
    most, whole = program.values[value], len(program.values)
    largest = {symbol.name: symbol.most for symbol in program.symbols}
    shape: Any = program.type(value).shape
    part = Tensor(shape, most.dtype)
    begin, steps = (0,) * len(shape), (1,) * len(shape)
    nodes = (
        node("slice", (0,), part, begin=begin, steps=steps),
        node("const", (), Tensor((), most.dtype), value=cast(Any, found.most)),
        node("minimum", (1, 2), part),
    )
    written = OpenWorkload(Workload((most,), (True,), nodes))
    call = Call(written.at(largest), (whole,), value, "sizes", open=written)
    constants = {v if v != value else whole: array for v, array in program.constants.items()}
    return replace(
        program,
        values=(*program.values, most),
        constants=constants,
        steps=inserted(program.steps, written.names, call),
    )


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
    """Steps with a call where all of these sizes are known first, which may be in a loop or a
    branch."""
    for i, step in enumerate(steps):
        if isinstance(step, Loop | Branch) and names & _found([step]):
            inside = step.over(
                lambda inner: inserted(inner, names, call) if names & _found(inner) else inner
            )
            return (*steps[:i], inside, *steps[i + 1 :])
    found = (i for i, step in enumerate(steps) if isinstance(step, Find) and step.size in names)
    first = max(found, default=-1) + 1
    return (*steps[:first], call, *steps[first:])


def _found(steps: Sequence[Step]) -> frozenset[str]:
    """The sizes that steps find, those in loops and branches, too."""
    own = (step.size for step in steps if isinstance(step, Find))
    inner = (_found(region.statements) for step in steps for region in step.regions)
    return frozenset(own).union(*inner)


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
