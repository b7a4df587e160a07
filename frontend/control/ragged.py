"""Sequences that are pieces of one value, one after the other, where a run computes how long these
are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import helper

from ..program import Step
from .assembly import Assembly
from .decision import Decision
from .found_sizes import FoundSizes
from .kept_pieces import alike, scope_of
from .parts import Listed, Parts, Ragged, Scope


@dataclass(frozen=True)
class RaggedPieces:
    """What nodes do with them; each function gives steps, and what comes of it."""

    parts: Parts
    assembly: Assembly
    sizes: FoundSizes

    def at(
        self, held: Ragged, number: int, output: str, scope: Scope, label: str
    ) -> tuple[Sequence[Step], int]:
        """The piece of a number that is known to be one; ``output`` names its size."""
        given = {"whole": held.whole, "starts": held.starts, "lengths": held.lengths}
        d = self._decision("SequenceAt", output, {**given, "number": number}, scope, label)
        e = d.spelled
        place = e("Reshape", "input 3", [1])
        start, length = (e("Gather", name, place, axis=0) for name in ("input 1", "input 2"))
        (size,) = d.settle(length, [None], [held.most], "its length is")
        d.sure([size.found])
        last = e("Sub", d.sizes([self.assembly.type(held.whole).shape[held.axis]], "whole"), 1)
        d.apart(start, last)
        places = e.clipped(e("Add", d.counting(size), start), 0, last)
        (x,) = d.apart(e("Gather", "input 0", *d.apart(places), axis=held.axis))
        (value,) = d.compute(x)
        return d.steps, value

    def listed(
        self, held: Ragged, name: str, scope: Scope, label: str
    ) -> tuple[Sequence[Step], Listed]:
        """All pieces, one by one."""
        steps, values = list[Step](), list[int]()
        for i in range(count_of(held, self.assembly)):
            number = self.assembly.constant(np.array(i))
            more, value = self.at(held, number, f"{name}_{i}", scope, label)
            steps += more
            values.append(value)
        return steps, Listed(tuple(values))

    def stacked(
        self, held: Ragged, output: str, scope: Scope, label: str
    ) -> tuple[Sequence[Step], int]:
        """All pieces along a new first dimension; a run ends in which they are not alike."""
        given = {"whole": held.whole, "starts": held.starts, "lengths": held.lengths}
        d = self._decision("ConcatFromSequence", output, given, scope, label)
        e, count = d.spelled, self.assembly.type(held.lengths).shape[0]
        sizes = e("Reshape", "input 2", [count, 1])
        (places,) = alike(d, sizes, [None], [held.most])
        last = e("Sub", d.sizes([self.assembly.type(held.whole).shape[held.axis]], "whole"), 1)
        begins = e("Reshape", "input 1", [count, 1])
        d.apart(last, begins)
        (each,) = d.apart(e.clipped(e("Add", begins, places), 0, last))
        rank = len(self.assembly.type(held.whole).shape)
        x = e("Gather", "input 0", each, axis=held.axis)
        if held.axis:
            order = [held.axis, *(i for i in range(rank + 1) if i != held.axis)]
            x = e("Transpose", x, perm=order)
        (value,) = d.compute(*d.apart(x))
        return d.steps, value

    def _decision(
        self, op: str, output: str, given: Mapping[str, int], scope: Scope, label: str
    ) -> Decision:
        node = helper.make_node(op, [*given], [output], label)
        own = scope_of(given, scope)
        return Decision(node, own, self.parts, self.assembly, self.sizes, {}, {})


def count_of(held: Ragged, assembly: Assembly) -> int:
    """How many pieces there are."""
    return assembly.type(held.lengths).shape[0]
