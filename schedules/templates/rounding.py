"""Where operands of float32 may be rounded to bfloat16."""

from __future__ import annotations

from ..ir.workload import Workload
from ..ops.products import OF_BFLOAT16
from ..target.target import Target


def may_round(workload: Workload, target: Target) -> bool:
    """Whether the build's ``accuracy`` allows it, or those of the first node hold such numbers."""
    return target.accuracy == "bf16" or bool(workload.nodes[0].attr(OF_BFLOAT16, False))
