"""Constants whose elements grow by as much from each place to the next, as places in a tensor of
rows do that was made flat."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Tensor, Workload
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size, Sizes
from luthier.schedules.ir.size import value as value_of
from luthier.schedules.ir.workload import Node, node

from ..program import Call, Program
from .computed import inserted
from .fit import Points

Array = NDArray[Any]


class Grid(NamedTuple):
    """The ``first`` element of a constant, and how much more each next one is along each axis."""

    first: int | Size
    steps: tuple[int | Size, ...]

    def at(self, sizes: Sizes, like: Array) -> Array:
        """Its elements at certain sizes, as many as an array has."""
        first, *steps = (int(value_of(n, sizes)) for n in (self.first, *self.steps))
        return _elements(first, steps, like)


def grid(arrays: Sequence[Array], points: Points) -> Grid | None:
    """Of arrays that are what one constant is at the points; None where they are no such.

    Raises UndecidedError.
    """
    found = [_grid(array) for array in arrays]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    first = points.fit([begin for begin, _ in known])
    steps = [
        _step([each[axis] for _, each in known], [a.shape[axis] > 1 for a in arrays], points)
        for axis in range(arrays[0].ndim)
    ]
    fitted = tuple(each for each in steps if each is not None)
    return None if first is None or len(fitted) < len(steps) else Grid(first, fitted)


def _grid(array: Array) -> tuple[int, list[int]] | None:
    """The first element, and the steps along the axes."""
    if array.dtype.kind != "i" or not array.size:
        return None
    first = int(array.flat[0])
    places = [tuple(int(i == axis) for i in range(array.ndim)) for axis in range(array.ndim)]
    steps = [
        int(array[place]) - first if size > 1 else 0
        for size, place in zip(array.shape, places, strict=True)
    ]
    return (first, steps) if np.array_equal(_elements(first, steps, array), array) else None


def _elements(first: int, steps: Sequence[int], like: Array) -> Array:
    found = np.full(like.shape, first, np.int64)
    for axis, (size, step) in enumerate(zip(like.shape, steps, strict=True)):
        found += step * np.arange(size).reshape([-1 if i == axis else 1 for i in range(like.ndim)])
    return found.astype(like.dtype)


def _step(numbers: Sequence[int], matters: Sequence[bool], points: Points) -> int | Size | None:
    """A step where there is any; that to the only element could be any."""
    if not any(matters):
        return 0
    return points.where(matters).fit(tuple(itertools.compress(numbers, matters)))


def with_grid(program: Program, value: int, found: Grid) -> Program:
    """The program in which a constant is computed of its steps when their sizes are known."""
    tensor = program.type(value)
    written = OpenWorkload(_written(found, tensor.shape, tensor.dtype))
    largest = {symbol.name: symbol.most for symbol in program.symbols}
    constants = {v: array for v, array in program.constants.items() if v != value}
    call = Call(written.at(largest), (), value, "sizes", open=written)
    return replace(program, constants=constants, steps=inserted(program.steps, written.names, call))


def _written(found: Grid, shape: Sequence[int | Size], dtype: str) -> Workload:
    """The first element everywhere, and what is more along each axis."""
    own = cast(tuple[int, ...], tuple(shape))
    begin = node("const", (), Tensor((), dtype), value=cast(Any, found.first))
    nodes: list[Node] = [begin, node("broadcast_to", (0,), Tensor(own, dtype))]
    for axis, step in enumerate(found.steps):
        if step == 0:
            continue
        total = len(nodes) - 1
        line = Tensor((own[axis],), dtype)
        along = Tensor(tuple(n if i == axis else 1 for i, n in enumerate(own)), dtype)
        nodes += [
            node("iota", (), line, start=0, step=cast(Any, step)),
            node("reshape", (total + 1,), along),
            node("add", (total, total + 2), Tensor(own, dtype)),
        ]
    return Workload((), (), tuple(nodes))
