"""Where group normalisation fits, its knobs, and the analytic model of its default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ...emit.tile import LINE
from ...ir.dtype import FLOAT32
from ...ir.space import Knob
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..abilities import Abilities, around
from ..form import Form
from ..fused import anchor_is_first
from ..loops import Loops

_PARTS = (1, 2, 4, 8, 16, 32, 64)
_SMALL = 16384  # elements that are not worth a second phase


class Knobs(NamedTuple):
    """See ``GroupNorm.choices``."""

    groups: int
    parts: int


@dataclass(frozen=True)
class GroupNorm(Form[Knobs]):
    """A float32 group_norm with elementwise nodes after: x as [batch, places, groups, depth]."""

    name = "group_norm"
    version = 1
    knobs_type = Knobs
    anchors = around(group_norm=Abilities(passes=3))

    @classmethod
    def match(cls, workload: Workload, target: Target) -> GroupNorm | None:
        """Whose operator comes first."""
        return cls(workload, target) if anchor_is_first(workload, "group_norm") else None

    @property
    def batch(self) -> int:
        """Images."""
        return self.node.out.shape[0]

    @property
    def places(self) -> int:
        """Elements of a channel in an image."""
        return math.prod(self.node.out.shape[1:-1])

    @property
    def channels(self) -> int:
        """Of all groups."""
        return self.node.out.shape[-1]

    @property
    def groups(self) -> int:
        """How many there are."""
        return int(self.node.attr("groups"))

    @property
    def depth(self) -> int:
        """Channels of a group."""
        return self.channels // self.groups

    def choices(self) -> tuple[Knob, ...]:
        """What a chunk is."""
        parts = tuple(p for p in _PARTS if p <= self.places)
        return (
            Knob("groups", self._spans(), "neighbouring groups in a chunk"),
            Knob("parts", parts, "of an image's places"),
        )

    def _spans(self) -> tuple[int, ...]:
        return tuple(d for d in range(1, self.groups + 1) if self.groups % d == 0)

    def default(self) -> Knobs:
        """Whole cache lines, as many groups as leave each thread some chunks and fit into L2; else
        rows of all channels in parts."""
        wanted = 4 * self.target.threads if self.target.threads > 1 else 1
        fitting = [
            span
            for span in self._spans()
            if span * self.depth >= min(self.channels, LINE)
            and self.batch * (self.groups // span) >= wanted
            and FLOAT32.nbytes(self.places * span * self.depth) <= self.target.l2
        ]
        if fitting or self.node.out.size <= _SMALL:
            return Knobs(max(fitting, default=self.groups), 1)
        parts = [p for p in _PARTS if p <= self.places]
        enough = [p for p in parts if p * self.batch >= wanted]
        return Knobs(self.groups, enough[0] if enough else parts[-1])

    def loops(self, knobs: Knobs) -> Loops:
        """One pass."""
        parts = ceildiv(self.places, ceildiv(self.places, knobs.parts))
        chunks = self.batch * parts * (self.groups // knobs.groups)
        size = self.workload.output.size
        span = self.depth * knobs.groups  # channels of a chunk
        work = size / self.target.lanes(FLOAT32)
        return Loops(chunks=chunks, depth=span, work=work, chunk=2 * FLOAT32.nbytes(size) / chunks)
