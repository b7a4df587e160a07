"""Reshapes behind elementwise operators: a product and its activation stay together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graph_building import Sketch, kernels, lowered, names, same

from luthier.frontend.graph import Graph
from luthier.frontend.sink_reshapes import sink_reshapes


def product(g: Sketch) -> int:
    """[2, 3, 8] by way of [6, 8], as exporters write products."""
    flat = g.emit("matmul", g.x(6, 4), g.const(4, 8), transpose_b=False)
    return g.reshape(flat, 2, 3, 8)


def bias(g: Sketch, value: int) -> int:
    return g.emit("add", value, g.const(8))


def bias_of_full_rank(g: Sketch, value: int) -> int:
    return g.emit("add", g.const(1, 1, 8), value)


def scaled(g: Sketch, value: int) -> int:
    return g.emit("multiply", value, g.constant(np.full((1, 1), 0.5, np.float32)))


def residual(g: Sketch, value: int) -> int:
    return g.emit("add", g.x(2, 3, 8, name="residual"), value)


def gelu(g: Sketch, value: int) -> int:
    bent = g.emit("erf", g.emit("multiply", value, g.scalar(0.7071)))
    return g.emit("multiply", value, g.emit("add", bent, g.scalar(1.0)))


def one_kernel(graph: Graph) -> bool:
    after = sink_reshapes(graph)
    same(graph, after)
    return len(kernels(lowered(after))) == 1


@pytest.mark.parametrize("after", [bias, bias_of_full_rank, scaled, residual, gelu])
def test_what_follows_joins_the_product(after: Callable[[Sketch, int], int]) -> None:
    g = Sketch()
    assert one_kernel(g.graph(g.emit("relu", after(g, product(g)))))


def test_an_operand_that_broadcasts_otherwise_keeps_it() -> None:
    g = Sketch()
    before = g.graph(g.emit("add", product(g), g.const(2, 1, 8)))
    assert names(sink_reshapes(before)) == ["matmul", "reshape", "add"]


def test_a_reshape_of_an_input_stays() -> None:
    g = Sketch()
    before = g.graph(g.emit("relu", g.reshape(g.x(6, 4), 2, 3, 4)))
    assert names(sink_reshapes(before)) == ["reshape", "relu"]


def test_a_reshape_that_splits_the_columns_keeps_a_vector() -> None:
    g = Sketch()
    flat = g.emit("matmul", g.x(6, 4), g.const(4, 8), transpose_b=False)
    before = g.graph(g.emit("add", g.reshape(flat, 6, 2, 4), g.const(4)))
    assert names(sink_reshapes(before)) == ["matmul", "reshape", "add"]
