"""Values that a loop carries and that are longer after each iteration, by as many elements.

How long they are is a size that is found in each iteration: what these begin with, and so much more
for each iteration before.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.schedules import Tensor

from ..program import Find, Step
from .parts import Scope
from .rows import Rows
from .spelled import Spelled


@dataclass(frozen=True)
class Growth:
    """Along an ``axis`` there are ``first`` elements, and ``more`` after each iteration."""

    axis: int
    first: int
    more: int

    @staticmethod
    def of(before: Tensor, after: Tensor) -> Growth | None:
        """Of a value before an iteration and after it; None where it does not grow."""
        if before.dtype != after.dtype or len(before.shape) != len(after.shape):
            return None
        pairs = list(zip(before.shape, after.shape, strict=True))
        longer = [i for i, (one, other) in enumerate(pairs) if one != other]
        if len(longer) != 1 or pairs[longer[0]][0] > pairs[longer[0]][1]:
            return None
        one, other = pairs[longer[0]]
        return Growth(longer[0], one, other - one)

    @property
    def way(self) -> tuple[int, int]:
        """What it begins with, and how much more there is."""
        return self.first, self.more

    def at(self, tensor: Tensor, size: int) -> Tensor:
        """The type of so much."""
        shape = (*tensor.shape[: self.axis], size, *tensor.shape[self.axis + 1 :])
        return Tensor(shape, tensor.dtype)

    def after(self, tensor: Tensor) -> Tensor:
        """The type after an iteration that begins with ``tensor``."""
        return self.at(tensor, tensor.shape[self.axis] + self.more)

    def ended(self, tensor: Tensor, times: int | None) -> Tensor:
        """The type after so many iterations, or before the first where that is not known."""
        return self.at(tensor, self.first + self.more * (times or 0))


@dataclass(frozen=True)
class Growing:
    """The sizes of values that grow in loops."""

    rows: Rows

    def ends(
        self, results: Mapping[str, Growth], times: int | None, label: str
    ) -> dict[str, tuple[str, int]]:
        """How long results are after as many iterations as a run decides, ``times`` at most where
        that is known, by their names: a size of each, and what it is taken to be.

        Raises UnsupportedOperator where nothing says how large it may be.
        """
        found = {}
        for name, growth in results.items():
            most = None if times is None else growth.first + growth.more * max(times, 0)
            found[name] = self.rows.sizes.add(name, most, label, least=growth.first)
        return found

    def sizes(
        self,
        names: Sequence[str],
        growths: Sequence[Growth],
        times: int | None,
        label: str,
        ends: Sequence[tuple[Growth, str]],
    ) -> dict[Growth, tuple[str, int]]:
        """The size of each growth, and what it is taken to be; ``names`` are the values'.

        Those that are as long have one, which is less than what any of them ``ends`` with. Raises
        UnsupportedOperator where nothing says how large it may be.
        """
        ways: dict[tuple[int, int], tuple[str, int]] = {}
        rooms: dict[tuple[int, int], int] = {}
        for growth, size in ends:
            room = max(self.rows.sizes.most(size) - growth.more, growth.first)
            rooms[growth.way] = min(room, rooms.get(growth.way, room))
        for name, growth in zip(names, growths, strict=True):
            if growth.way not in ways:
                most = None if times is None else growth.first + growth.more * (times - 1)
                known = [each for each in (most, rooms.get(growth.way)) if each is not None]
                most = min(known, default=None)
                ways[growth.way] = self.rows.sizes.add(name, most, label, least=growth.first)
        return {growth: ways[growth.way] for growth in growths}

    def found(self, size: str, growth: Growth, count: int, label: str) -> list[Step]:
        """What finds how long a result is after ``count`` iterations, a value."""
        e = Spelled(size)
        first, more = (
            self.rows.assembly.table(f"{size}/{name}", np.array(each))
            for name, each in zip(("first", "more"), growth.way, strict=True)
        )
        count = self.rows.assembly.view(count, ())
        inner: Scope = ChainMap({}, {}, {"count": count, "first": first, "more": more})
        times = e("Max", "count", np.array(0))
        length = e("Add", e("Mul", times, "more"), "first")
        steps = self.rows.computed(e, inner, length)
        return [*steps, Find(size, self.rows.parts.value(length, inner, label), label)]

    def steps(self, found: Mapping[Growth, tuple[str, int]], number: int, label: str) -> list[Step]:
        """What finds the sizes at the beginning of the iteration of this number."""
        made = list[Step]()
        ways = {size: growth.way for growth, (size, _) in found.items()}
        for size, way in ways.items():
            e = Spelled(size)
            # Not known before a run, so that programs of several sizes are alike.
            first, more = (
                self.rows.assembly.table(f"{size}/{name}", np.array(each))
                for name, each in zip(("first", "more"), way, strict=True)
            )
            inner: Scope = ChainMap({}, {}, {"number": number, "first": first, "more": more})
            length = e("Add", e("Mul", "number", "more"), "first")
            made += self.rows.computed(e, inner, length)
            made.append(Find(size, self.rows.parts.value(length, inner, label), label))
        return made
