"""Where the search for an extreme's place fits, its knob, and into how many parts a row is cut."""

from __future__ import annotations

import math

from ...ir.size import Size, ceildiv
from ..abilities import Abilities, around
from ..by_grain import AroundAnchor

_ALL = Abilities(prologue=True, converts=True, any_type=True)
_ALONE = 16384  # elements that one thread goes through before another one has begun
_LEAST = 32768  # elements that are worth a second phase,
_PART, _MOST_PARTS = 8192, 64  # those of a part at least, and how many parts there are at most
_ENOUGH = 16  # rows that need no parts


class Place(AroundAnchor):
    """Where an extreme is along one axis, of any type."""

    name = "place"
    version = 1
    grains = (1024, 4096, 16384, 65536, 262144)
    unit = "input elements"
    anchors = around(argmax=_ALL, argmin=_ALL)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Outer, extent, inner: rows are along the extent."""
        shape, (axis,) = self.workload.tensor(self.node.args[0]).shape, self.node.attr("axes")
        return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])

    @property
    def wanted(self) -> int:
        """Six chunks a thread; one where calling another thread takes as long."""
        size = self.workload.tensor(self.node.args[0]).size
        few = not isinstance(size, Size) and size <= _ALONE
        return self.grains[-1] if few else super().wanted

    @property
    def part(self) -> int:
        """Elements that a part of a row has, whatever the threads: of few rows that are long there
        are several parts, each of whole vectors but for the last one."""
        outer, length, inner = self.sizes
        if inner != 1 or isinstance(outer, Size) or isinstance(length, Size):
            return length
        parts = min(length // _PART, _MOST_PARTS // outer)
        if outer >= _ENOUGH or outer * length < _LEAST or parts < 2:
            return length
        unit = 4 * self.lanes
        return ceildiv(ceildiv(length, parts), unit) * unit

    @property
    def parts(self) -> int:
        """Of a row."""
        length = self.sizes[1]
        return 1 if isinstance(length, Size) else ceildiv(length, self.part)
