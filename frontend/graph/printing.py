"""A graph as a text that people read and tests compare."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.schedules.ir.core import listing

from .core import Graph


def graph_text(graph: Graph) -> str:
    """A line for each value, and for each output what it is.

    ``%3 = conv2d(%0, %2) groups=1 ... : float32[1,8,8,16]  # Conv 'first'``
    """
    return listing(f"graph {graph.name}", _leaves(graph), graph.region, graph.outputs)


def _leaves(graph: Graph) -> Iterator[str]:
    for name, value in graph.inputs:
        yield f"%{value} = input {name!r}: {graph.values[value]}"
    for value in sorted(graph.constants):
        yield f"%{value} = constant: {graph.values[value]}"
