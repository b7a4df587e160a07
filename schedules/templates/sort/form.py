"""Where sorting along an axis fits, and its knobs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...ir.size import Size
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.order import key_dtype
from ..abilities import Abilities, around
from ..by_grain import largest
from ..form import Form
from ..loops import Loops, streaming
from ..radix import Digits

_GRAINS = (1024, 4096, 16384, 65536)
# A row's lists lie one after the other in the scratch, whose offsets have 32 bits.
_LONGEST = 1 << 26
# Up to how many wanted a list that is kept in order is the faster way, whatever the row holds.
FEW = 16
_METHODS = ("insert", "reservoir", "digits")
BLOCK = 64  # elements that are looked at together
_ROOM = 4  # times what is wanted is held


class Knobs(NamedTuple):
    """See ``Sort.choices``."""

    method: str
    grain: int


class Sort(Form[Knobs]):
    """The places of the first elements of each row, in order, of any type."""

    name = "sort"
    version = 2
    knobs_type = Knobs
    follows = True
    anchors = around(topk=Abilities(epilogue=False, any_type=True))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Sort | None:
        """Alone."""
        alone = [node.op for node in workload.nodes] == ["topk"]
        form = cls(workload, target)
        return form if alone and form.sizes[1] <= _LONGEST else None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Outer, extent, inner: rows are along the extent."""
        shape, axis = self.workload.inputs[0].shape, int(self.node.attr("axis"))
        return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])

    @property
    def wanted(self) -> int:
        """Elements of a row's result."""
        return self.workload.output.shape[int(self.node.attr("axis"))]

    def choices(self) -> tuple[Knob, ...]:
        """How a row is sorted, and how many rows a chunk has."""
        return (
            Knob("method", _METHODS, "keep a list in order, hold some more, or sort by digits"),
            Knob("grain", _GRAINS, "input elements in a chunk, whole rows"),
        )

    def default(self) -> Knobs:
        """A list where it is short; six chunks a thread."""
        grain = self.workload.inputs[0].size // (6 * self.target.threads)
        return Knobs(self._method, largest(_GRAINS, grain))

    def resized(self, knobs: Knobs) -> Knobs:
        """The way that is good for the number that is wanted, where that is another."""
        return knobs._replace(method=self._method) if isinstance(self.wanted, Size) else knobs

    def loops(self, knobs: Knobs) -> Loops:
        """One pass, and besides it what a list in order moves, or passes for each digit."""
        outer, length, inner = self.sizes
        digits = Digits(key_dtype(self.workload.inputs[0].dtype)).number
        inserted = length + self.wanted * self.wanted
        sorted_ = digits * (2 * self.wanted + length * (length != self.wanted))
        held = digits * capacity(self.wanted)
        methods = [np.asarray(knobs.method) == name for name in _METHODS]
        moved = np.select(methods, [inserted, length + held, sorted_]) * (outer * inner)
        return replace(streaming(self.workload, self.target, knobs.grain), other=moved)

    @property
    def _method(self) -> str:
        if self.wanted <= FEW:
            return "insert"
        return "reservoir" if 2 * capacity(self.wanted) <= self.sizes[1] else "digits"


def capacity(wanted: int) -> int:
    """How many elements a row's reservoir holds at most."""
    return _ROOM * wanted + BLOCK
