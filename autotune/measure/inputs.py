"""Seeded random inputs for measuring: the same in every process that asks for them."""

from __future__ import annotations

import numpy as np

from luthier.schedules import Node, Workload, ops
from luthier.schedules.ir.kernel import Array


def draw(workload: Workload, index: int, seed: int) -> Array:
    """Input ``index`` of the workload, in its shape and dtype (bool as int8).

    Floats are uniform in (-1, 1), or (0.5, 1.5) where an operator needs positive numbers; integers
    are small and positive, or cover the axis that they index. What must hold more than any numbers,
    as a table of trees, the operator draws.
    """
    tensor = workload.inputs[index]
    rng = np.random.default_rng((seed, index))
    for node in workload.nodes:
        operator = ops.of(node)
        if isinstance(operator, ops.Anchor) and index in node.args:
            extent = workload.tensor(node.args[0]).shape[-1:] or (1,)
            found = operator.sample(node, node.args.index(index), extent[0], rng)
            if found is not None:
                return found
    if tensor.dtype == "bool":
        return rng.integers(0, 2, tensor.shape, np.int8)
    if not tensor.element.is_float:
        low, high = _integer_range(workload, index)
        high = min(high, tensor.element.limits[1])
        drawn = rng.integers(low, high, tensor.shape, tensor.element.storage, endpoint=True)
        return drawn.astype(tensor.element.numpy, copy=False)
    values = rng.random(tensor.shape, np.float64 if tensor.dtype == "float64" else np.float32)
    if any(_wants_positive(node) for node in workload.nodes):  # NaNs would show nothing
        values += 0.5
    else:
        values *= 2
        values -= 1
    return values.astype(tensor.element.numpy, copy=False)


def _wants_positive(node: Node) -> bool:
    operator = ops.of(node)
    return isinstance(operator, ops.Elementwise) and operator.wants_positive


def _forwards(node: Node) -> bool:
    operator = ops.of(node)
    return isinstance(operator, ops.Known) and operator.forwards


def _integer_range(workload: Workload, index: int) -> tuple[int, int]:
    """Inclusive; the whole axis for an input that is used as indices along it."""
    n = len(workload.inputs)
    for node in workload.nodes:
        if node.op not in ("take", "take_along"):
            continue
        arg = node.args[1]
        while arg >= n and _forwards(workload.nodes[arg - n]):
            arg = workload.nodes[arg - n].args[0]
        if arg == index:
            shape = workload.tensor(node.args[0]).shape
            return 0, max(0, shape[int(node.attr("axis", 0))] - 1)
    return 1, 7
