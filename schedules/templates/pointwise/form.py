"""Where kernels without an anchor fit, and their knob."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ... import ops
from ...ir.size import at_least
from ...ir.workload import Workload
from ...target.target import Target
from ..by_grain import ByGrain

_FEW = 8  # operators
_MANY = 32  # vector registers


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

    @cached_property
    def lanes(self) -> int:
        """As many of the widest elements as a vector holds, or of float32; of narrower ones that
        are made of them where that takes few registers, so that they, too, leave in whole vectors.
        Twice as many where much is computed of each, one step after another, which processors then
        have two of to go on with.
        """
        workload = self.workload
        values = (*workload.inputs, *(node.out for node in workload.nodes))
        widest = max(value.element.bytes for value in values)
        if not self._is_costly and len(workload.nodes) <= _FEW:
            widest = min(widest, workload.output.element.bytes)
        own = max(super().lanes, self.target.vector_bytes // widest)
        return 2 * own if self._is_costly and self.target.vector_registers >= _MANY else own

    @property
    def wanted(self) -> int:
        """Six chunks a thread even out a busy core. Less than 4096 elements are not worth one, nor
        are less than 65536 a second thread where they are moved more than computed: it would have
        to get what lies in the first one's cache.
        """
        size = self.workload.output.size
        if not self._is_costly and isinstance(size, int) and size < self.grains[-1]:
            return min(grain for grain in self.grains if grain >= size)  # all of it
        return at_least(size // (6 * self.target.threads), 4096)

    @property
    def _is_costly(self) -> bool:
        """Whether elements are computed more than moved."""
        operators = map(ops.of, self.workload.nodes)
        return any(isinstance(o, ops.Elementwise) and o.is_costly for o in operators)
