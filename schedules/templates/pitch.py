"""Which kernels write and read rows that lie apart, so that tensors can be parts of larger ones."""

from __future__ import annotations

from .. import ops
from ..ir.workload import Workload
from .abilities import Abilities
from .fused import anchor
from .registry import ANCHORS


def writes_apart(workload: Workload) -> bool:
    """Whether every template that fits can give the output a pitch."""
    node = anchor(workload)
    return node is None or ANCHORS.get(node.op, Abilities()).writes_apart


def reads_apart(workload: Workload, index: int) -> bool:
    """Whether every template that fits can read input ``index`` at a pitch."""
    anchors = (node for node in workload.nodes if not ops.of(node).is_fusible)
    return all(
        index not in node.args or ANCHORS.get(node.op, Abilities()).reads_apart for node in anchors
    )
