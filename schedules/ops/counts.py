"""How much arithmetic a workload is and how many bytes it moves: the two sides of a roofline."""

from __future__ import annotations

from .. import ops
from ..ir.workload import Workload

_OF_WHOLE = ("conv2d_integer", "matmul_integer")


def flops(workload: Workload) -> int:
    """Arithmetic operations of one call, a multiply-add being two.

    Convolutions count as the direct algorithm's, whatever the schedule does, so that times of
    different algorithms compare. Data movement counts nothing.
    """
    typed = ((node, [workload.tensor(a) for a in node.args]) for node in workload.nodes)
    return sum(ops.of(node).operations(node, args) for node, args in typed)


def is_whole(workload: Workload) -> bool:
    """Whether it is a product or a convolution of whole numbers of 8 or 16 bits."""
    return any(node.op in _OF_WHOLE for node in workload.nodes)


def traffic(workload: Workload) -> int:
    """Bytes of the inputs, weights among them, and of the output, each once.

    What is only looked up counts as much as comes of it. A kernel whose data stay in the caches
    from one call to the next moves fewer bytes from memory, one that reads something twice more.
    """
    return workload.output.nbytes + sum(_read(workload, i) for i in range(len(workload.inputs)))


def _read(workload: Workload, index: int) -> int:
    tensor = workload.inputs[index]
    chosen = 0
    for node in workload.nodes:
        if index in node.args:
            operator = ops.of(node)
            chooses = isinstance(operator, ops.Movement) and operator.chooses
            if not chooses or index in node.args[1:]:
                return tensor.nbytes
            chosen += tensor.element.nbytes(node.out.size)
    return min(tensor.nbytes, chosen)
