"""How many bytes a workload moves: the other side of a roofline."""

from __future__ import annotations

from luthier.schedules import Workload
from luthier.schedules.workload import DTYPE_BYTES

_CHOOSE = frozenset({"slice", "take"})  # read no more of their first argument than they give


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
            if node.op not in _CHOOSE or index in node.args[1:]:
                return tensor.nbytes
            chosen += node.out.size * DTYPE_BYTES[tensor.dtype]
    return min(tensor.nbytes, chosen)
