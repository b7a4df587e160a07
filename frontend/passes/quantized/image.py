"""What values of a quantised model stand for: whole numbers in memory, by a scale.

``(stored - zero) * scale + offset``: of 8 or 16 bits what a model stores, of 32 bits the sums of a
product, whose bias is a zero point, too. Known numbers are arrays of the stored value's rank, of
size 1 or with one number for each index of one dimension; those of a run are values of one element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ...graph import Array

Known: TypeAlias = Array


@dataclass(frozen=True)
class Image:
    """``stored`` is a value of whole numbers; ``dtype`` is the type of what stands for it.

    Numbers of a run: ``run_zero`` is one more zero point, ``run_scales`` are more factors.
    ``scale`` and ``offset`` are float64; ``offset`` is of sums alone.
    """

    stored: int
    dtype: str
    zero: Known
    scale: Known
    offset: Known | None = None
    run_zero: int | None = None
    run_scales: tuple[int, ...] = ()

    @property
    def is_scaled(self) -> bool:
        """Whether it is anything but whole numbers less a zero point."""
        return self.scale.size > 1 or self.scale.item() != 1 or bool(self.run_scales)

    @property
    def numbers(self) -> tuple[Known, ...]:
        """All that are known."""
        some = (self.zero, self.scale)
        return some if self.offset is None else (*some, self.offset)

    @property
    def is_even(self) -> bool:
        """Whether its numbers are the same for all elements."""
        return all(known.size == 1 for known in self.numbers)

    def scaled(self, factor: Known) -> Image:
        """What is ``factor`` times as large."""
        offset = None if self.offset is None else self.offset * factor
        return replace(self, scale=self.scale * factor, offset=offset)

    def moved(self, stored: int, numbers: Sequence[Known]) -> Image:
        """The same of a value that was moved, and of its numbers."""
        zero, scale, *offset = numbers
        return replace(
            self, stored=stored, zero=zero, scale=scale, offset=offset[0] if offset else None
        )

    def is_alike(self, other: Image) -> bool:
        """Whether equal stored numbers stand for equal ones."""
        even = self.is_even and other.is_even
        return even and self.run == other.run and self._ends == other._ends

    @property
    def run(self) -> tuple[int | None, tuple[int, ...]]:
        """The numbers of a run."""
        return self.run_zero, self.run_scales

    @property
    def _ends(self) -> tuple[object, ...]:
        return (self.dtype, *(known.item() for known in self.numbers))


def number(value: float | int, rank: int) -> Known:
    """One known number for all elements."""
    return np.full((1,) * rank, value)


def along_one(array: Array, rank: int) -> Known | None:
    """An array in the form of ``Known``; None where it varies along several dimensions."""
    if array.ndim > rank:
        return None
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    for axis, size in enumerate(array.shape):  # what is the same all along needs no dimension
        first = array.take([0], axis)
        if size > 1 and array.strides[axis] == 0:
            array = first
    if sum(d > 1 for d in array.shape) <= 1:
        return array
    return None


def transposed(known: Known, axes: Sequence[int]) -> Known:
    """After a transpose."""
    return known.transpose(axes)


def reshaped(known: Known, old: Sequence[int], new: Sequence[int]) -> Known | None:
    """After a reshape; None where its dimension is not one any more."""
    if known.size == 1:
        return known.reshape((1,) * len(new))
    axis = next(i for i, d in enumerate(known.shape) if d > 1)
    after = int(np.prod(old[axis + 1 :]))
    for place, size in enumerate(new):
        if size == known.size and int(np.prod(new[place + 1 :])) == after:
            return known.reshape([size if i == place else 1 for i in range(len(new))])
    return None
