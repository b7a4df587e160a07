"""Which kernels write and read rows that lie apart, so that tensors can be parts of larger ones.

Whatever goes through ``template.store_element`` and ``template.loads`` does; the others address
their buffers themselves.
"""

from __future__ import annotations

from .. import ops
from ..ir.workload import Workload
from .template import anchor

_READERS = (ops.Pool, ops.Reduction)
_WRITERS = (*_READERS, ops.Product)


def writes_apart(workload: Workload) -> bool:
    """Whether every template that fits can give the output a pitch."""
    node = anchor(workload)
    return node is None or isinstance(ops.of(node), _WRITERS)


def reads_apart(workload: Workload, index: int) -> bool:
    """Whether every template that fits can read input ``index`` at a pitch."""
    return not any(
        index in node.args
        for node in workload.nodes
        if not ops.of(node).is_fusible and not isinstance(ops.of(node), _READERS)
    )
