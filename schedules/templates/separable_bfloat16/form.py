"""Which 1x1 convolutions before depthwise ones may be computed in bfloat16."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from ...emit.bfloat16 import PAIRS, bfloat16_layouts, bfloat16_product, tile_rows
from ...emit.dot_product import DotProduct
from ...ir.dtype import FLOAT32
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..loops import Loops
from ..rounding import held, in_float32, may_round
from ..separable.form import Knobs, Separable, even

_HIGH = 16  # pixels of a tile


@dataclass(frozen=True)
class Bfloat16Separable(Separable):
    """A pair whose first half has operands that are rounded; knobs are those of float32."""

    name = "separable_bfloat16"
    version = 2

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Separable | None:
        """Where operands of the first half may be rounded."""
        if not may_round(workload, target) or not bfloat16_layouts(target):
            return None
        form = super().match(in_float32(workload), target)
        assert form is None or isinstance(form, cls)
        return None if form is None else replace(form, workload=workload)

    @cached_property
    def micro(self) -> DotProduct:
        """What multiplies: whole tiles where there are such."""
        return bfloat16_product(bfloat16_layouts(self.target)[0], self.product.k)

    @property
    def tiled(self) -> bool:
        """Whether those are whole tiles."""
        return self.micro != PAIRS

    @property
    def rounds(self) -> bool:
        """Whether pixels do not lie as the product reads them."""
        p = self.product
        return held(self.workload.tensor(p.a)) == FLOAT32 or p.k != self.pixel

    @property
    def pixel(self) -> int:
        """Numbers of a pixel, in whole steps."""
        return self.micro.blocks(self.product.k) * PAIRS.steps

    @property
    def steps(self) -> int:
        """Of the product."""
        return self.pixel // (self.micro.groups * PAIRS.steps)

    def fits(self, knobs: Knobs) -> bool:
        """Either tile fits the registers."""
        pixels = 1 if self.tiled else knobs.pixels
        alone = super().fits(knobs._replace(unroll=1, pixels=pixels))
        whole = not self.tiled or self.micro.fits(knobs.pixels, knobs.vectors, self.target)
        return alone and whole and self.steps % knobs.unroll == 0

    def default(self) -> Knobs:
        """As of float32."""
        unroll = max(u for u in (1, 2) if self.steps % u == 0)
        return super().default()._replace(unroll=unroll)

    @cached_property
    def _vectors(self) -> int:
        """With tiles two, or one where the ring then takes more than half of L1, which what follows
        reads from there; the product's sums come in the same time."""
        if not self.tiled:
            return super()._vectors
        ring = self.span * self.columns.size * 2 * self.target.vector_bytes
        return min(2, self.needed) if 2 * ring <= self.target.l1 else 1

    def _pixels(self, vectors: int) -> int:
        most = _HIGH if self.tiled else tile_rows(vectors, self.target)
        return even(self.columns.size, most)

    def loops(self, knobs: Knobs) -> Loops:
        """Of steps that multiply pairs, or as many as a tile is deep."""
        found, each = super().loops(knobs), self.micro.groups * PAIRS.steps
        return replace(
            found,
            depth=self.steps,
            steps=ceildiv(found.steps, each),
            work=ceildiv(found.work, each),
        )
