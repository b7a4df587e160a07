"""Values of one rank, of which a run takes one: how large that is, the run finds.

Each is padded to the largest of all; the one that is taken is cut to its own size.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from luthier.schedules import Tensor
from luthier.schedules.ir.core import Region

from ..program import Step
from .assembly import Assembly
from .parts import Parts, Scope
from .spelled import OPSET, Spelled


def padded(
    parts: Parts, assembly: Assembly, value: int, shape: Sequence[int], label: str
) -> tuple[Sequence[Step], int]:
    """A value with zeros after its elements, up to a shape, and the steps to it."""
    tensor = assembly.type(value)
    if tensor.shape == tuple(shape):
        return (), value
    if not tensor.size:
        zero = np.zeros((), tensor.element.numpy)
        return (), assembly.constant(np.broadcast_to(zero, tuple(shape)))
    inner: Scope = ChainMap({}, {}, {"value": value})
    e, rank = Spelled(label), len(shape)
    widths = [most - size for most, size in zip(shape, tensor.shape, strict=True)]
    name = e("Pad", "value", [0] * rank + widths)
    inner.update({n: assembly.constant(array) for n, array in e.constants.items()})
    steps = parts.steps(e.nodes, [name], inner, OPSET)
    return steps, parts.value(name, inner, label)


@dataclass(frozen=True)
class Differing:
    """What each of some branches gives as one result, of which ``title`` is the name.

    In dimensions that ``vary`` a run finds how large some of them are, which may be any of them;
    ``rooms`` are how large each can be at most, where its own branch finds that.
    """

    parts: Parts
    assembly: Assembly
    values: tuple[int, ...]
    title: str
    vary: Sequence[bool] = ()
    rooms: Sequence[Sequence[int]] = ()

    @cached_property
    def types(self) -> list[Tensor]:
        """Of the values."""
        return [self.assembly.type(value) for value in self.values]

    @property
    def fits(self) -> bool:
        """Whether they can be made one value."""
        return len({(each.dtype, len(each.shape)) for each in self.types}) == 1

    @cached_property
    def axes(self) -> list[int]:
        """The dimensions in which they differ; of none they are as they are."""
        sizes = enumerate(zip(*(each.shape for each in self.types), strict=True))
        return [axis for axis, some in sizes if self._varies(axis) or len(set(some)) > 1]

    @cached_property
    def _rooms(self) -> list[Sequence[int]]:
        """How large each can be."""
        rooms = self.rooms or [()] * len(self.types)
        return [room or each.shape for room, each in zip(rooms, self.types, strict=True)]

    @property
    def most(self) -> tuple[int, ...]:
        """How large the largest is in each dimension."""
        return tuple(map(max, zip(*self._rooms, strict=True)))

    @property
    def given(self) -> list[Tensor]:
        """The types of what each branch gives: the value, and how large it is along ``axes``."""
        if not self.axes:
            return self.types[:1]
        sizes = enumerate(zip(*self._rooms, strict=True))
        # Which one is the largest may be another in another run: there is room for all.
        whole = (sum(some) if self._varies(axis) else max(some) for axis, some in sizes)
        return [
            Tensor(tuple(whole), self.types[0].dtype),
            Tensor((len(self.axes),), "int64"),
        ]

    def _varies(self, axis: int) -> bool:
        return axis < len(self.vary) and self.vary[axis]

    def given_by(self, place: int) -> tuple[Sequence[Step], list[int]]:
        """What one of the branches gives, and the steps that its own come before."""
        value = self.values[place]
        if not self.axes:
            return (), [value]
        steps, whole = padded(self.parts, self.assembly, value, self.given[0].shape, self.title)
        own = [self.types[place].shape[axis] for axis in self.axes]
        # No constant: programs of several sizes are alike.
        name = f"{self.title}/{place} of {value}"
        return steps, [whole, self.assembly.table(name, np.array(own, np.int64))]


def region(joined: Sequence[Differing], place: int, steps: Sequence[Step]) -> Region[Step]:
    """One of the branches: its own steps, and what it gives of all results."""
    given = [one.given_by(place) for one in joined]
    statements = (*steps, *(step for more, _ in given for step in more))
    return Region((), statements, tuple(value for _, own in given for value in own))
