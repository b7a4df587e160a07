"""What every operator means, in NumPy: folds constants and is the reference that tests compare to.

Written for clarity; only data movement is cheap. ``relax.*`` operators are not covered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import ops
from ..ir.dtype import FLOAT32
from ..ir.workload import Node, Workload
from .operator import Array


def evaluate(node: Node, args: Sequence[Array]) -> Array:
    """The node's result, in the node's dtype; float64 arguments in place of float32 keep theirs.

    float16 is computed in float32 and rounded once, as kernels do.
    """
    operator = ops.OPERATORS[node.op]
    if not operator.is_movement and node.op != "bitcast":
        args = [a.astype(np.float32) if a.dtype == np.float16 else a for a in args]
    with np.errstate(all="ignore"):
        result = np.asarray(operator.evaluate(node, *args))
        wide = result.dtype == np.float64 and node.out.element == FLOAT32 and node.op != "cast"
        if not (wide and any(a.dtype == np.float64 for a in args)):
            result = result.astype(node.out.element.numpy, copy=False)
    return np.broadcast_to(result, node.out.shape) if operator.is_elementwise else result


def run(workload: Workload, inputs: Sequence[Array]) -> Array:
    """The workload's output; float64 inputs in place of float32 ones give a float64 result."""
    values = list(inputs)
    for node in workload.nodes:
        values.append(evaluate(node, [values[a] for a in node.args]))
    return values[-1]
