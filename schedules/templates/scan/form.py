"""Where sums and products of all elements up to each place fit, and their knob."""

from __future__ import annotations

import math

from ...ir.size import Size, ceildiv
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..by_grain import ByGrain

_ALONE = Abilities(epilogue=False, any_type=True)
VECTORS = 4  # in a step along a row
_FEW = 16384  # elements that one thread goes through before another one has begun
_LEAST = 65536  # elements that are worth another phase, which reads them once more,
_PART, _MOST_PARTS = 8192, 64  # those of a part at least, and how many parts there are at most
_ENOUGH = 16  # rows that need no parts


class Scan(ByGrain):
    """One pass along each row, of any type."""

    name = "scan"
    version = 2
    grains = (1024, 4096, 16384, 65536)
    unit = "input elements"
    anchors = around(cumsum=_ALONE, cumprod=_ALONE)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Scan | None:
        """Alone."""
        alone = [node.op for node in workload.nodes] in (["cumsum"], ["cumprod"])
        return cls(workload, target) if alone else None

    @property
    def wanted(self) -> int:
        """Six chunks a thread; one where calling another thread takes as long."""
        size = self.workload.inputs[0].size
        few = not isinstance(size, Size) and size <= _FEW
        return self.grains[-1] if few else size // (6 * self.target.threads)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Outer, extent, inner: rows are along the extent."""
        shape, axis = self.workload.inputs[0].shape, int(self.node.attr("axis"))
        return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])

    @property
    def width(self) -> int:
        """Elements in a vector; of the narrow ones as many as float32 has."""
        return min(self.lanes, self.target.lanes(self.workload.output.element))

    @property
    def part(self) -> int:
        """Elements that a part of a row has, whatever the threads: of few rows that are long there
        are several parts, each of whole steps but for the last one."""
        outer, length, inner = self.sizes
        if inner != 1 or isinstance(outer, Size) or isinstance(length, Size):
            return length
        parts = min(length // _PART, _MOST_PARTS // outer)
        if outer >= _ENOUGH or outer * length < _LEAST or parts < 2:
            return length
        step = VECTORS * self.width
        return ceildiv(ceildiv(length, parts), step) * step

    @property
    def parts(self) -> int:
        """Of a row."""
        length = self.sizes[1]
        return 1 if isinstance(length, Size) else ceildiv(length, self.part)
