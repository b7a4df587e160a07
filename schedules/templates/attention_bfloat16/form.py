"""Where fused attention may have products of bfloat16."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...emit.bfloat16 import PAIRS, multiplies_bfloat16
from ...ir.size import Size
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..attention.form import FusedAttention, Knobs
from ..loops import Loops


@dataclass(frozen=True)
class Bfloat16Attention(FusedAttention):
    """An attention node alone; knobs are those of float32."""

    name = "attention_bfloat16"
    version = 1

    @classmethod
    def match(cls, workload: Workload, target: Target) -> Bfloat16Attention | None:
        """Of rows and keys that are known at build time, where ``accuracy`` allows it."""
        if target.accuracy != "bf16" or not multiplies_bfloat16(target):
            return None
        form = super().match(workload, target)
        assert form is None or isinstance(form, cls)
        if form is None or isinstance(form.attention.rows, Size):
            return None
        return None if isinstance(form.attention.keys, Size) else form

    def loops(self, knobs: Knobs) -> Loops:
        """Of steps that multiply pairs."""
        found, steps = super().loops(knobs), PAIRS.steps
        return replace(
            found,
            depth=ceildiv(found.depth, steps),
            steps=ceildiv(found.steps, steps),
            work=ceildiv(found.work, steps),
        )
