"""An element of a tensor, named by indices that may be expressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .indices import Index, split_index


@dataclass(frozen=True)
class Point:
    """An element of a tensor of ``shape``: coordinates, flat row-major index, or both."""

    shape: tuple[int, ...]
    coords: tuple[Index, ...] | None = None
    flat: Index | None = None

    @property
    def coordinates(self) -> tuple[Index, ...]:
        """One index per dimension."""
        if self.coords is None:
            return tuple(split_index(self.flat, self.shape)) if self.shape else ()
        return self.coords

    @property
    def linear(self) -> Index:
        """Row-major position."""
        if self.flat is not None:
            return self.flat
        return flatten(self.coordinates, self.shape)

    def position(self, pitch: int | None) -> Index:
        """Place in memory where rows of the last axis lie ``pitch`` elements apart."""
        if pitch is None:
            return self.linear
        return flatten(self.coordinates, (*self.shape[:-1], pitch))

    def identity(self) -> tuple[Any, ...]:
        """Equal for points made of the same index objects."""
        return (self.shape, tuple(map(_identity, self.coords or ())), _identity(self.flat))


def _identity(index: Index) -> Any:
    return index if isinstance(index, int) or index is None else id(index)


def flatten(coords: tuple[Index, ...], shape: tuple[int, ...]) -> Index:
    """Row-major position of coordinates."""
    result: Index = 0
    for c, extent in zip(coords, shape, strict=True):
        result = result * extent + c
    return result


def matrix_point(shape: tuple[int, ...], columns: Index, row: Index, column: Index) -> Point:
    """The element of a tensor of ``shape`` as a matrix of so many columns: its last dimension, of
    which the others number the rows."""
    return Point(shape, (*split_index(row, shape[:-1]), column), row * columns + column)


def broadcast_point(point: Point, shape: tuple[int, ...]) -> Point:
    """The element of a tensor of ``shape`` that NumPy's broadcasting reads for ``point``."""
    if shape == point.shape:
        return point
    if all(d == 1 for d in shape):
        return Point(shape, flat=0)
    drop = len(point.shape) - len(shape)
    coords = point.coordinates[drop:]
    return Point(shape, tuple(0 if d == 1 else c for c, d in zip(coords, shape, strict=True)))
