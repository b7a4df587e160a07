"""Divisions before functions: by multiplications, where nothing else sees them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from graph_building import Sketch, names, same

from luthier.frontend.graph import Graph
from luthier.frontend.passes.reciprocals import multiply_by_reciprocals

ROOT = math.sqrt(2)


def divided(divisor: float | list[list[float]], *readers: str, shown: bool = False) -> Graph:
    g = Sketch()
    known = g.scalar(divisor) if isinstance(divisor, float) else g.constant(np.float32(divisor))
    value = g.emit("divide", g.x(3, 5), known)
    results = [g.emit(reader, value) for reader in readers]
    return g.graph(*results, *([value] if shown else []))


@pytest.mark.parametrize("function", ["erf", "tanh", "sigmoid"])
def test_a_function_of_a_quotient(function: str) -> None:
    graph = divided(ROOT, function)
    after = multiply_by_reciprocals(graph)
    assert names(after) == ["multiply", function]
    same(graph, after)


def test_each_column_has_its_own_divisor() -> None:
    graph = divided([[1, -3, 1e-20, 7e20, 0.1]], "tanh", "erf")
    after = multiply_by_reciprocals(graph)
    assert names(after) == ["multiply", "tanh", "erf"]
    same(graph, after)


@pytest.mark.parametrize(
    "graph",
    [
        divided(ROOT, "sqrt"),
        divided(ROOT, "erf", "sqrt"),
        divided(ROOT, "erf", shown=True),
        divided(0.0, "erf"),
        divided(1e-39, "erf"),
        divided(np.inf, "erf"),
    ],
)
def test_what_stays(graph: Graph) -> None:
    """Where the quotient itself is seen, or its divisor is not an ordinary number."""
    assert names(multiply_by_reciprocals(graph)) == names(graph)
