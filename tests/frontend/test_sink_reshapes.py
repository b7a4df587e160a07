"""Reshapes move after elementwise operators: a product and its activation stay together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graph_building import Sketch, kernels, lowered, names, same

from luthier.frontend.graph import Graph
from luthier.frontend.passes.sink_reshapes import sink_reshapes
from luthier.schedules import Tensor


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
def test_elementwise_operators_join_the_product(after: Callable[[Sketch, int], int]) -> None:
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


def test_a_lookup_uses_its_indices_as_they_were_computed() -> None:
    """Only the result is reshaped, and reshapes that meet become one."""
    g = Sketch()
    ids = g.input("ids", Tensor((6, 2), "int64"))
    one = g.emit("slice", ids, out=Tensor((6, 1), "int64"), begin=(0, 1), steps=(1, 1))
    found = g.emit("take", g.const(9, 4), g.reshape(one, 6), axis=0)
    graph = g.finish([("y", g.reshape(found, 6, 1, 4))])
    after = sink_reshapes(graph)
    same(graph, after)
    assert names(after) == ["slice", "take"]


def test_lookups_of_a_concatenation_are_one_kernel_with_it() -> None:
    g = Sketch()
    ids = g.input("ids", Tensor((6, 30), "int64"))
    pieces = []
    for table in range(30):
        at = {"begin": (0, table), "steps": (1, 1)}
        one = g.emit("slice", ids, out=Tensor((6, 1), "int64"), **at)
        found = g.emit("take", g.const(9, 4, seed=table), g.reshape(one, 6), axis=0)
        pieces.append(g.reshape(found, 6, 1, 4))
    graph = g.finish([("y", g.emit("concat", *pieces, axis=1))])
    after = sink_reshapes(graph)
    same(graph, after)
    (kernel,) = kernels(lowered(after))
    assert (kernel.count("slice"), kernel.count("take")) == (30, 30)
