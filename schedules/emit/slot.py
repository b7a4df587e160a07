"""Buffers of a phase."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.placement import span
from ..ir.workload import Tensor


@dataclass(frozen=True)
class Slot:
    """A buffer of the phase: its place in ``buffers`` (None: the worker's scratch) and its type."""

    position: int | None
    name: str
    tensor: Tensor
    offset: int = 0  # bytes into the scratch
    pitch: int | None = None  # elements from one row to the next; see ``Placement``

    @property
    def span(self) -> int:
        """Elements from the first to the last one."""
        return span(self.tensor.shape, self.pitch)
