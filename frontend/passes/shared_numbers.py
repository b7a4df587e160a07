"""Numbers that neighbours share: scales and zero points of a tensor's blocks, kept few.

A tensor of which so many neighbours along each dimension have one number is these numbers alone.
What moves the tensor's elements moves them, so that nothing of the tensor's own size is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from luthier.schedules import Node, ops

from ..graph import Array


@dataclass(frozen=True)
class Shared:
    """Of a tensor of a ``shape``: ``each`` neighbours along each dimension have the same number of
    ``values``, the last ones along it perhaps fewer."""

    values: Array
    shape: tuple[int, ...]
    each: tuple[int, ...]

    @classmethod
    def of(cls, array: Array) -> Shared:
        """An array's own elements; one that was broadcast has fewer of them."""
        same = [size if stride == 0 else 1 for size, stride in _dimensions(array)]
        few = array[tuple(slice(0, 1) if each > 1 else slice(None) for each in same)]
        return cls(few, array.shape, tuple(same))

    @classmethod
    def all(cls, number: np.generic, shape: tuple[int, ...]) -> Shared:
        """The same number everywhere."""
        return cls(np.full((1,) * len(shape), number), shape, shape)

    def varies(self, axis: int) -> bool:
        """Whether not all along a dimension is the same."""
        return bool(self.values.shape[axis] > 1)

    @property
    def transposed(self) -> Shared:
        """With its dimensions in the opposite order."""
        return Shared(self.values.T, self.shape[::-1], self.each[::-1])

    @property
    def dense(self) -> Array:
        """All elements of the tensor."""
        found = self.values
        for axis, (size, each) in enumerate(zip(self.shape, self.each, strict=True)):
            if each > 1:
                found = np.repeat(found, each, axis)[(slice(None),) * axis + (slice(size),)]
        return found

    def spread(self, shape: tuple[int, ...]) -> Shared:
        """NumPy's broadcast_to."""
        more = len(shape) - len(self.shape)
        old, each = (1,) * more + self.shape, (1,) * more + self.each
        return Shared(
            self.values.reshape((1,) * more + self.values.shape),
            shape,
            tuple(n if o == 1 else e for n, o, e in zip(shape, old, each, strict=True)),
        )

    def finer(self, each: tuple[int, ...]) -> Array:
        """The values of which so many neighbours share one; each number divides what it was, or is
        all there are."""
        found = self.values
        for axis, (old, new) in enumerate(zip(self.each, each, strict=True)):
            if found.shape[axis] > 1 and new < old:
                count = -(-self.shape[axis] // new)
                found = np.repeat(found, old // new, axis)
                found = found[(slice(None),) * axis + (slice(count),)]
        return found

    def moved(self, node: Node, operator: ops.Movement) -> Shared:
        """After a movement of data that has one argument."""
        shape = node.out.shape
        if node.op == "broadcast_to":
            return self.spread(shape)
        if node.op == "transpose":
            axes = node.attr("axes")
            return Shared(self.values.transpose(axes), shape, tuple(self.each[a] for a in axes))
        found = None
        if node.op == "reshape":
            found = self._reshaped(shape)
        elif node.op == "slice":
            found = self._part(node.attr("begin"), node.attr("steps"), shape)
        return found or Shared.of(np.asarray(operator.evaluate(node, self.dense)))

    def _part(
        self, begin: tuple[int, ...], steps: tuple[int, ...], shape: tuple[int, ...]
    ) -> Shared | None:
        """Neighbours from the first of a block on; None where they begin or lie otherwise."""
        chosen = []
        for axis, (first, step, size) in enumerate(zip(begin, steps, shape, strict=True)):
            if self.values.shape[axis] == 1:
                chosen.append(slice(None))
                continue
            each = self.each[axis]
            if step != 1 or first % each:
                return None
            chosen.append(slice(first // each, -(-(first + size) // each)))
        own = zip(shape, self.values.shape, self.each, strict=True)
        neighbours = tuple(size if n == 1 else e for size, n, e in own)
        return Shared(self.values[tuple(chosen)], shape, neighbours)

    def _reshaped(self, shape: tuple[int, ...]) -> Shared | None:
        """The same elements in another shape; None where its dimensions cut through blocks."""
        parts = self._parts()
        if parts is None:
            return None
        values: list[int] = []  # of the new tensor
        each: list[int] = []
        inside: list[tuple[int, bool]] = []  # of its values: extents, and whether they differ
        while len(values) < len(shape):
            taken = _taken(parts, shape[len(values)])
            if taken is None:
                return None
            last = max((i for i, (_, own) in enumerate(taken) if own), default=-1)
            values.append(math.prod(n for n, _ in taken[: last + 1]))
            each.append(math.prod(n for n, _ in taken[last + 1 :]))
            inside += taken[: last + 1]
        few = self.values.reshape([n if own else 1 for n, own in inside])
        wide = np.broadcast_to(few, [n for n, _ in inside]).reshape(values)
        return Shared(wide, shape, tuple(each))

    def _parts(self) -> list[tuple[int, bool]] | None:
        """Extents whose product is the tensor's size, the outer ones first, and whether there are
        as many values; None where a block is not whole."""
        parts = []
        for size, each, count in zip(self.shape, self.each, self.values.shape, strict=True):
            if count == 1:
                parts.append((size, False))
            elif size % each:
                return None
            else:
                parts += [(size // each, True), (each, False)]
        return [part for part in parts if part[0] != 1]


def _dimensions(array: Array) -> Iterator[tuple[int, int]]:
    return zip(array.shape, array.strides, strict=True)


def _taken(parts: list[tuple[int, bool]], size: int) -> list[tuple[int, bool]] | None:
    """The first parts, of which a dimension is made, taken out of the list."""
    taken = []
    while size > 1:
        if not parts:
            return None
        count, own = parts.pop(0)
        fits = math.gcd(count, size)
        if fits not in (count, size):
            return None
        taken.append((fits, own))
        size //= fits
        if fits < count:
            parts.insert(0, (count // fits, own))
    return taken


def together(some: Shared, other: Shared) -> tuple[Array, Array, tuple[int, ...]]:
    """Of tensors of one shape the values that broadcast to one another, and how many neighbours
    have each."""
    each = []
    for axis, pair in enumerate(zip(some.each, other.each, strict=True)):
        own = [e for e, s in zip(pair, (some, other), strict=True) if s.values.shape[axis] > 1]
        fine, coarse = min(own, default=some.shape[axis]), max(own, default=some.shape[axis])
        each.append(fine if coarse % fine == 0 else 1)
    found = tuple(each)
    return some.finer(found), other.finer(found), found


def combined(how: np.ufunc, some: Shared, other: Shared) -> Shared:
    """Element by element."""
    shape = np.broadcast_shapes(some.shape, other.shape)
    left, right, each = together(some.spread(shape), other.spread(shape))
    with np.errstate(all="ignore"):
        return Shared(np.asarray(how(left, right)), shape, each)


def cast(shared: Shared, dtype: str) -> Shared:
    """Of another type of numbers."""
    return replace(shared, values=shared.values.astype(dtype))
