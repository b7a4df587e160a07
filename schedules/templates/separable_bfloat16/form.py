"""Which 1x1 convolutions before depthwise ones may be computed in bfloat16."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...emit.bfloat16 import PAIRS, multiplies_bfloat16, tile_rows
from ...ir.dtype import FLOAT32
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..loops import Loops
from ..rounding import held, in_float32, may_round
from ..separable.form import Knobs, Separable, even


@dataclass(frozen=True)
class Bfloat16Separable(Separable):
    """A pair whose first half has operands that are rounded; knobs are those of float32."""

    name = "separable_bfloat16"
    version = 1

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Separable | None:
        """Where operands of the first half may be rounded."""
        if not may_round(workload, target) or not multiplies_bfloat16(target):
            return None
        form = super().match(in_float32(workload), target)
        assert form is None or isinstance(form, cls)
        return None if form is None else replace(form, workload=workload)

    @property
    def rounds(self) -> bool:
        """Whether pixels do not lie as the product reads them."""
        p = self.product
        return held(self.workload.tensor(p.a)) == FLOAT32 or p.k % PAIRS.steps != 0

    @property
    def pairs(self) -> int:
        """Steps of the product."""
        return ceildiv(self.product.k, PAIRS.steps)

    def fits(self, knobs: Knobs) -> bool:
        """Either tile fits the registers."""
        alone = super().fits(knobs._replace(unroll=1))
        return alone and self.pairs % knobs.unroll == 0

    def default(self) -> Knobs:
        """As of float32."""
        unroll = max(u for u in (1, 2) if self.pairs % u == 0)
        return super().default()._replace(unroll=unroll)

    def _pixels(self, vectors: int) -> int:
        return even(self.columns.size, tile_rows(vectors, self.target))

    def loops(self, knobs: Knobs) -> Loops:
        """Of steps that multiply pairs."""
        found = super().loops(knobs)
        return replace(
            found,
            depth=self.pairs,
            steps=ceildiv(found.steps, PAIRS.steps),
            work=ceildiv(found.work, PAIRS.steps),
        )
