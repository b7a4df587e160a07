"""Where reductions fit, their knob, and into how many parts one is cut."""

from __future__ import annotations

import math
from functools import cached_property

from ...ir.placement import DENSE
from ...ir.size import Size, ceildiv
from ...ir.workload import Workload
from ..abilities import Abilities, around
from ..by_grain import AroundAnchor
from .collapse import collapsed

_ALL = Abilities(prologue=True, converts=True, reads_apart=True, writes_apart=True, any_type=True)
COLUMNS = 64  # neighbouring columns that a chunk has at least
_ALONE = 32768  # elements that one thread reduces before another one has begun
_LEAST = 65536  # elements that are worth a second phase,
_PART, _MOST_PARTS = 8192, 64  # those of a part at least, and how many parts there are at most
_ENOUGH = 16  # results, or blocks of columns, that need no parts


class Reduction(AroundAnchor):
    """A reduction over any axes, of any type."""

    name = "reduction"
    version = 2
    grains = (4096, 16384, 65536, 262144)
    unit = "input elements"
    anchors = around(sum=_ALL, mean=_ALL, max=_ALL, min=_ALL, prod=_ALL)

    @cached_property
    def merged(self) -> Workload:
        """The workload with as few dimensions as its operands and the placement allow."""
        if self.placement != DENSE:
            return self.workload
        return collapsed(self.workload, self.where)

    @property
    def wanted(self) -> int:
        """Six chunks a thread; one where calling another thread takes as long."""
        size = self.workload.tensor(self.node.args[0]).size
        few = not isinstance(size, Size) and size <= _ALONE
        return self.grains[-1] if few else super().wanted

    @cached_property
    def part(self) -> int:
        """Steps along the first of the axes that a part takes, whatever the threads: so that these
        change no result. Of few results there are several parts, of others one."""
        node = self.merged.nodes[self.where]
        shape, axes = self.merged.tensor(node.args[0]).shape, node.attr("axes")
        along, last = shape[axes[0]] if axes else 1, len(shape) - 1
        size = math.prod(shape)
        if any(isinstance(each, Size) for each in shape) or size < _LEAST:
            return along
        kept = [each for d, each in enumerate(shape) if d not in axes]
        if last not in axes:
            kept[-1] = ceildiv(kept[-1], COLUMNS)
        results = math.prod(kept)
        parts = min(size // results // _PART, _MOST_PARTS // results, along)
        if results >= _ENOUGH or parts < 2:
            return along
        unit = 4 * self.lanes if axes[0] == last else 1  # whole vectors
        return min(along, ceildiv(ceildiv(along, parts), unit) * unit)

    @property
    def parts(self) -> int:
        """How many there are."""
        node = self.merged.nodes[self.where]
        axes = node.attr("axes")
        along = self.merged.tensor(node.args[0]).shape[axes[0]] if axes else 1
        return 1 if isinstance(along, Size) else ceildiv(along, self.part)
