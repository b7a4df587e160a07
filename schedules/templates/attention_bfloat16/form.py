"""Where fused attention may have products of bfloat16."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...emit.bfloat16 import PAIRS, bfloat16_layouts, bfloat16_product
from ...ir.dtype import FLOAT32
from ...ir.size import Size
from ...ir.workload import Tensor, Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..attention.form import FusedAttention, Knobs
from ..loops import Loops
from ..rounding import BFLOAT16, in_float32

STEP = 32  # along the depth of a tile
_HIGH = 16  # its rows


@dataclass(frozen=True)
class Bfloat16Attention(FusedAttention):
    """An attention node alone, whose operands and result lie in memory as float32 or as bfloat16;
    knobs are those of float32. Products are of whole tiles where there are such."""

    name = "attention_bfloat16"
    version = 2

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Attention | None:
        """Of rows and keys that are known at build time, where ``accuracy`` allows it."""
        if target.accuracy != "bf16" or not bfloat16_layouts(target):
            return None
        node = workload.nodes[0]
        if any(workload.tensor(a).element != FLOAT32 for a in node.args[3:]):
            return None
        form = super().match(_in_float32(workload), target)
        assert form is None or isinstance(form, cls)
        if form is None or isinstance(form.attention.rows, Size):
            return None
        if isinstance(form.attention.keys, Size):
            return None
        return replace(form, workload=workload) if form.in_pairs(workload) else None

    @property
    def tiled(self) -> bool:
        """Whether whole tiles are multiplied."""
        return "tiles" in bfloat16_layouts(self.target)

    def fits(self, knobs: Knobs) -> bool:
        """The tile fits the registers of either kind."""
        if self.tiled:
            micro = bfloat16_product("tiles", STEP)
            return micro.fits(knobs.tile, knobs.vectors, self.target)
        return super().fits(knobs)

    def default(self) -> Knobs:
        """As of float32; whole tiles are as high as they may be."""
        found = super().default()
        return found._replace(tile=_HIGH) if self.tiled else found

    def estimate(self) -> float:
        """None is faster."""
        return 0.0

    def in_pairs(self, workload: Workload) -> bool:
        """Whether the query and the keys, where they lie in bfloat16, begin at whole pairs."""
        views = (self.attention.q, self.attention.k)
        short = [workload.tensor(a).element == BFLOAT16 for a in self.node.args[:2]]
        places = [
            (v.offset, v.batch, v.head, v.row) for v, s in zip(views, short, strict=True) if s
        ]
        whole = all(at % PAIRS.steps == 0 for place in places for at in place)
        return whole and (not places or self.attention.depth % PAIRS.steps == 0)

    def loops(self, knobs: Knobs) -> Loops:
        """Of steps that multiply pairs, or as many as a tile is deep."""
        found, steps = super().loops(knobs), STEP if self.tiled else PAIRS.steps
        return replace(
            found,
            depth=ceildiv(found.depth, steps),
            steps=ceildiv(found.steps, steps),
            work=ceildiv(found.work, steps),
        )


def _in_float32(workload: Workload) -> Workload:
    """The same of operands and a result of that type."""
    wide = in_float32(workload)
    first, *rest = wide.nodes
    if first.out.element == BFLOAT16:
        first = replace(first, out=Tensor(first.out.shape))
    return replace(wide, nodes=(first, *rest))
