"""Where sorting along an axis fits, and its knobs."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...ir.dtype import DTYPES
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
from .cycles import FEW, Cycles, capacity

_GRAINS = (1024, 4096, 16384, 65536)
# A row's lists lie one after the other in the scratch, whose offsets have 32 bits.
_LONGEST = 1 << 26
_METHODS = ("insert", "lanes", "reservoir", "digits")
_PLACE_BYTES = 4


class Knobs(NamedTuple):
    """See ``Sort.choices``."""

    method: str
    grain: int


class Sort(Form[Knobs]):
    """The places of the first elements of each row, in order, of any type."""

    name = "sort"
    version = 4
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

    @cached_property
    def together(self) -> int:
        """Rows that lie next to each other or follow one another, a lane for each; 0 where they do
        not, or registers have no room for the lists of few. Of a list of one all wait for what
        they compared last, so that there are two registers' rows.
        """
        outer, _, inner = self.sizes
        lanes, rows = self._in_register, outer * inner if self.goes_on else inner
        if any(isinstance(size, Size) for size in (rows, self.wanted)):
            return 0
        if rows < lanes or not 0 < self.wanted <= self._most_in_lanes:
            return 0
        return 2 * lanes if self.wanted == 1 and rows >= 2 * lanes else lanes

    @property
    def _in_register(self) -> int:
        """Keys, and places, of one."""
        keys = DTYPES[key_dtype(self.workload.inputs[0].dtype)]
        return self.target.vector_bytes // max(keys.bytes, _PLACE_BYTES)

    @property
    def goes_on(self) -> bool:
        """Whether lanes are rows of several outer indices: those of one fill a part of them."""
        inner, lanes = self.sizes[2], self._in_register
        return not isinstance(inner, Size) and inner < lanes and lanes % inner == 0

    @property
    def _most_in_lanes(self) -> int:
        """How many may be wanted of a row in a lane: lists fill half of L1."""
        return self.target.l1 // (4 * self.target.vector_bytes) - 1

    def fits(self, knobs: Knobs) -> bool:
        """Lanes where there are rows for them."""
        return knobs.method != "lanes" or self.together > 0

    def choices(self) -> tuple[Knob, ...]:
        """How a row is sorted, and how many rows a chunk has."""
        return (
            Knob("method", _METHODS, "a list in order, one in each lane, some more held, digits"),
            Knob("grain", _GRAINS, "input elements in a chunk, whole rows"),
        )

    def default(self) -> Knobs:
        """The way that takes least; six chunks a thread."""
        grain = self.workload.inputs[0].size // (6 * self.target.threads)
        return Knobs(self._method, largest(_GRAINS, grain))

    def resized(self, knobs: Knobs) -> Knobs:
        """The way that is good for the number that is wanted, where that is another."""
        stays = self.fits(knobs) and not isinstance(self.wanted, Size)
        return knobs if stays else knobs._replace(method=self._method)

    def loops(self, knobs: Knobs) -> Loops:
        """One pass, and besides it what a list in order moves, or passes for each digit."""
        outer, length, inner = self.sizes
        digits = Digits(key_dtype(self.workload.inputs[0].dtype)).number
        inserted = length + self.wanted * self.wanted
        sorted_ = digits * (2 * self.wanted + length * (length != self.wanted))
        held = digits * capacity(self.wanted)
        through = length * (1 + self.wanted / max(self.together, 1))
        methods = [np.asarray(knobs.method) == name for name in _METHODS]
        moved = np.select(methods, [inserted, through, length + held, sorted_]) * (outer * inner)
        return replace(streaming(self.workload, self.target, knobs.grain), other=moved)

    @property
    def _method(self) -> str:
        """The one that takes least; of a length that is not known, one that never takes long."""
        (_, length, inner), wanted = self.sizes, self.wanted
        if not (isinstance(length, Size) or isinstance(wanted, Size)):
            words = DTYPES[key_dtype(self.workload.inputs[0].dtype)].bytes / 4
            cycles = Cycles(length, wanted, words, self.together).of_all()
            return min(cycles, key=lambda method: cycles[method])
        if wanted <= FEW:
            return "lanes" if self.together and inner > 1 else "insert"  # where they lie apart
        return "reservoir" if 2 * capacity(wanted) <= length else "digits"
