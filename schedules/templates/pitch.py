"""Which kernels write and read rows that lie apart, so that tensors can be parts of larger ones."""

from __future__ import annotations

from collections.abc import Iterator

from .. import ops
from ..ir.workload import Node, Workload
from .abilities import Abilities
from .registry import ANCHORS


def writes_apart(workload: Workload) -> bool:
    """Whether every template that fits can give the output a pitch."""
    return all(abilities.writes_apart for _, abilities in _anchors(workload))


def reads_apart(workload: Workload, index: int) -> bool:
    """Whether every template that fits can read input ``index`` at a pitch."""
    readers = (abilities for node, abilities in _anchors(workload) if index in node.args)
    return all(abilities.reads_apart for abilities in readers)


def _anchors(workload: Workload) -> Iterator[tuple[Node, Abilities]]:
    for node in workload.nodes:
        if not ops.of(node).is_fusible:
            yield node, ANCHORS.get(node.op, Abilities())
