"""Where scatters fit, and their knob."""

from __future__ import annotations

from ...ir.size import Size
from ...ir.workload import Workload
from ...target.target import Target
from ..abilities import Abilities, around
from ..by_grain import ByGrain

_ALONE = Abilities(epilogue=False, any_type=True)
_FEW = 32768  # elements that one thread copies before another one has begun


class Scatter(ByGrain):
    """A copy, and what is written into it, of any type."""

    name = "scatter"
    version = 1
    grains = (1024, 4096, 16384, 65536)
    unit = "elements"
    anchors = around(scatter_nd=_ALONE, scatter_along=_ALONE)

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Scatter | None:
        """Alone."""
        names = [node.op for node in workload.nodes]
        return cls(workload, target) if names in (["scatter_nd"], ["scatter_along"]) else None

    @property
    def wanted(self) -> int:
        """Six chunks a thread; one where calling another thread takes as long."""
        size = self.workload.output.size
        few = not isinstance(size, Size) and size <= _FEW
        return self.grains[-1] if few else size // (6 * self.target.threads)
