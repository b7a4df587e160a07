"""Which kernels write and read rows that lie apart, so that tensors can be parts of larger ones.

Whatever goes through ``template.store_element`` and ``template.loads`` does; the others address
their buffers themselves.
"""

from __future__ import annotations

from .ops import ANCHORS, is_fallback
from .template import anchor
from .workload import Workload

_WRITERS = frozenset(
    """
        conv2d conv2d_transpose matmul max_pool2d avg_pool2d sum mean max min prod
    """.split()
)
_READERS = frozenset(["max_pool2d", "avg_pool2d", "sum", "mean", "max", "min", "prod"])


def writes_apart(workload: Workload) -> bool:
    """Whether every template that fits can give the output a pitch."""
    node = anchor(workload)
    return node is None or node.op in _WRITERS


def reads_apart(workload: Workload, index: int) -> bool:
    """Whether every template that fits can read input ``index`` at a pitch."""
    return not any(
        index in node.args
        for node in workload.nodes
        if (node.op in ANCHORS or is_fallback(node.op)) and node.op not in _READERS
    )
