"""Carried values whose type an iteration changes, though that changes nothing after it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.schedules import Tensor

from .assembly import Assembly
from .parts import Held


@dataclass(frozen=True)
class Carried:
    """Of a loop, by places: the values that are ``lasting`` are used after it, and those that are
    ``unread`` by its body only begin it, at least where it is sure that it ``runs``."""

    assembly: Assembly
    lasting: Collection[int]
    unread: Collection[int]
    runs: bool

    def types(self, begin: Sequence[Tensor], held: Sequence[Held]) -> list[Tensor]:
        """As an iteration leaves them: what nobody reads, and one number with other dimensions.
        What they are of no iteration must not be used."""
        found = list(begin)
        for k, (before, after) in enumerate(zip(begin, held, strict=False)):
            if not isinstance(after, int) or (k in self.lasting and not self.runs):
                continue
            left = self.assembly.type(after)
            is_one = before.dtype == left.dtype and before.size == left.size == 1
            if k in self.unread or is_one:
                found[k] = left
        return found

    def begun(self, place: int, tensor: Tensor, value: int) -> int:
        """What is carried as this type at first."""
        own = self.assembly.type(value)
        if own == tensor:
            return value
        if place in self.unread:
            zero = np.zeros((), tensor.element.numpy)
            return self.assembly.constant(np.broadcast_to(zero, tensor.shape))
        is_one = own.size == tensor.size == 1
        return self.assembly.view(value, tensor.shape) if is_one else value
