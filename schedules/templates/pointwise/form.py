"""Where kernels without an anchor fit, and their knob."""

from __future__ import annotations

from dataclasses import dataclass

from ... import ops
from ...ir.size import at_least
from ...ir.workload import Workload
from ...target.target import Target
from ..by_grain import ByGrain


@dataclass(frozen=True)
class Pointwise(ByGrain):
    """Elementwise operators and data movement alone."""

    name = "pointwise"
    version = 1
    grains = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
    unit = "output elements"

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Pointwise | None:
        """Of any type."""
        fits = all(ops.of(node).is_fusible for node in workload.nodes)
        return cls(workload, target) if fits else None

    @property
    def wanted(self) -> int:
        """Six chunks a thread even out a busy core; less than 4096 elements are not worth it."""
        return at_least(self.workload.output.size // (6 * self.target.threads), 4096)
