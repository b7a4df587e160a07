"""Constants of TensorFlow Lite of which a file has what is not 0 alone, written out.

Levels are those of TACO (Chou, Kjolstad, Amarasinghe: "Format abstraction for sparse tensor algebra
compilers", 2018): dimensions in some order, then those inside of blocks, each dense or compressed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..flatbuffer import DamagedError, Table

Array = NDArray[Any]
_MOST_LEVELS = 16
# What is written out has so many times the bytes of the file at most.
_TIMES, _FREE = 64, 1 << 26
_DENSE, _COMPRESSED = 0, 1
_NUMBERS = {1: "<i4", 2: "<u2", 3: "u1"}  # by the code of the union


@dataclass(frozen=True)
class _Level:
    """Of a dense dimension its size; of a compressed one the places of each node's children, and
    where each node's begin."""

    size: int
    begins: Array | None
    places: Array

    @staticmethod
    def of(table: Table) -> _Level:
        kind, size = table.number(0, "<b"), table.number(1)
        if kind == _DENSE and size > 0:
            return _Level(size, None, np.arange(size))
        begins, places = (_numbers(table, field) for field in (2, 4))
        rising = begins.size and begins[0] >= 0 and (np.diff(begins) >= 0).all()
        if kind != _COMPRESSED or not rising or begins[-1] > places.size:
            raise DamagedError
        return _Level(0, begins, places)

    def children(self, nodes: int, most: int) -> tuple[Array, Array]:
        """Of each child of so many nodes its node, and its place; raises DamagedError."""
        if self.begins is None:
            if nodes * self.size > most:
                raise DamagedError
            return np.repeat(np.arange(nodes), self.size), np.tile(self.places, nodes)
        if self.begins.size != nodes + 1:
            raise DamagedError
        counts = np.diff(self.begins)
        return np.repeat(np.arange(nodes), counts), self.places[self.begins[0] : self.begins[-1]]


def _numbers(table: Table, field: int) -> Array:
    """A list of whole numbers of one of the types that a union has for it."""
    kind, inner = table.number(field, "<B"), table.table(field + 1)
    if inner is None or kind not in _NUMBERS:
        raise DamagedError
    return inner.array(0, _NUMBERS[kind]).astype(np.int64)


def written_out(table: Table, shape: tuple[int, ...], values: Array, file: int) -> Array:
    """The tensor of this shape that has ``values`` where ``table`` says, and else 0.

    The file has ``file`` bytes. Raises DamagedError for what does not fit, or is too large.
    """
    count = math.prod(shape)
    if count * values.itemsize > _FREE + _TIMES * file:
        raise DamagedError
    order, blocked = table.array(0, "<i4").tolist(), table.array(1, "<i4").tolist()
    levels = [_Level.of(each) for each in table.tables(2)]
    rank = len(shape)
    fits = len(levels) == rank + len(blocked) <= _MOST_LEVELS
    if not fits or sorted(order) != list(range(len(levels))):
        raise DamagedError
    if sorted(order[rank:]) != list(range(rank, len(levels))):
        raise DamagedError  # blocks are inside of dimensions
    found: dict[int, Array] = {}
    # What a level begins is listed, or is the values: no other has more nodes.
    most = max([values.size, *(each.begins.size for each in levels if each.begins is not None)])
    nodes = 1
    for dimension, level in zip(order, levels, strict=True):
        parents, places = level.children(nodes, most)
        found = {d: where[parents] for d, where in found.items()} | {dimension: places}
        nodes = places.size
    if nodes != values.size:
        raise DamagedError
    for i, dimension in enumerate(blocked):
        size = levels[order.index(rank + i)].size
        if not 0 <= dimension < rank or not size:
            raise DamagedError
        found[dimension] = found[dimension] * size + found[rank + i]
    for dimension, size in enumerate(shape):
        where = found[dimension]
        if where.size and not 0 <= where.min() <= where.max() < size:
            raise DamagedError
    made = np.zeros(shape, values.dtype)
    made[tuple(found[dimension] for dimension in range(rank))] = values
    return made
