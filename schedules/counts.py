"""How much arithmetic a workload is and how many bytes it moves: the two sides of a roofline."""

from __future__ import annotations

import math

from .attention_form import attention
from .ops import ELEMENTWISE
from .workload import DTYPE_BYTES, Node, Tensor, Workload

# Operations per input element of a textbook evaluation.
_REDUCTIONS = {
    **dict.fromkeys(("sum", "mean", "max", "min", "prod"), 1),
    **dict.fromkeys(("softmax", "log_softmax"), 4),
    "layer_norm": 6,
    "rms_norm": 5,
    "group_norm": 6,
}
_FREE = frozenset({"const", "cast"})
_CHOOSE = frozenset({"slice", "take"})  # read no more of their first argument than they give


def flops(workload: Workload) -> int:
    """Arithmetic operations of one call, a multiply-add being two.

    Convolutions count as the direct algorithm's, whatever the schedule does, so that times of
    different algorithms compare. Data movement counts nothing.
    """
    return sum(_node_flops(workload, node) for node in workload.nodes)


def traffic(workload: Workload) -> int:
    """Bytes of the inputs, weights among them, and of the output, each once.

    What is only looked up counts as much as comes of it. A kernel whose data stay in the caches
    from one call to the next moves fewer bytes from memory, one that reads something twice more.
    """
    return workload.output.nbytes + sum(_read(workload, i) for i in range(len(workload.inputs)))


def _node_flops(workload: Workload, node: Node) -> int:
    if node.op in ELEMENTWISE:
        return 0 if node.op in _FREE else node.out.size
    if not node.args:
        return 0
    if form := attention(workload, node):
        return form.operations
    data = workload.tensor(node.args[0])
    if node.op in _REDUCTIONS:
        return _REDUCTIONS[node.op] * data.size
    return _tap_count(workload, node, data) * 2


def _tap_count(workload: Workload, node: Node, data: Tensor) -> int:
    """Multiply-adds of a sliding window or a matrix product; 0 for data movement."""
    if node.op in ("conv2d", "conv2d_transpose"):
        taps = math.prod(workload.tensor(node.args[1]).shape[1:])
        return taps * (node.out.size if node.op == "conv2d" else data.size)
    if node.op == "matmul":
        return node.out.size * data.shape[-1]
    if node.op in ("max_pool2d", "avg_pool2d"):
        window = zip(node.attr("kernel"), data.shape[1:3], strict=True)  # no larger than the input
        return node.out.size * math.prod(min(int(k), n) for k, n in window) // 2
    return 0


def _read(workload: Workload, index: int) -> int:
    tensor = workload.inputs[index]
    chosen = 0
    for node in workload.nodes:
        if index in node.args:
            if node.op not in _CHOOSE or index in node.args[1:]:
                return tensor.nbytes
            chosen += node.out.size * DTYPE_BYTES[tensor.dtype]
    return min(tensor.nbytes, chosen)
