"""What is true of every graph, between any two passes."""

from __future__ import annotations

from luthier.schedules.ir.core import require
from luthier.schedules.ops.verify import verify_types

from .arrays import type_of
from .core import Graph


def verify(graph: Graph) -> None:
    """Raise IRError, which says what is wrong and where.

    Each value is an input, a constant or one operator's result, and comes before its uses.
    Constants have the types that they say, and so have operators; see ``verify_types``.
    """
    values = graph.values
    require(len(dict(graph.inputs)) == len(graph.inputs), "an input's name is taken")
    for value, array in graph.constants.items():
        tensor = type_of(array)
        require(values[value] == tensor, f"the constant %{value} is {tensor}")
    graph.region.verify(graph.constants.keys())
    for op in graph.ops:
        require(values[op.result] == op.node.out, "its type is another", op)
        verify_types(op, [values[arg] for arg in op.reads])
    defined = [*graph.constants, *graph.region.defined]
    require(len(defined) == len(values), "a value comes from nowhere")
