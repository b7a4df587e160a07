"""Products with a transposed table that the model reads elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from onnx_models import agree, floats, model

from luthier.frontend import import_graph

N = helper.make_node
TABLE = floats(40, 16)


def tied(*, reads_table: bool) -> list:
    first = N("Gather", ["table", "ids"], ["x"]) if reads_table else N("Identity", ["h"], ["x"])
    return [first, N("Transpose", ["table"], ["t"], perm=[1, 0]), N("MatMul", ["x", "t"], ["y"])]


@pytest.mark.parametrize("reads_table", [True, False])
def test_a_product_reads_the_table_where_the_model_reads_it_elsewhere(reads_table):
    inputs = {"ids": np.array([3, 39, 0])} if reads_table else {"h": floats(3, 16)}
    proto = model(tied(reads_table=reads_table), inputs, ["y"], {"table": TABLE})
    graph = import_graph(proto)
    (product,) = (op.node for op in graph.ops if op.node.op == "matmul")
    assert bool(product.attr("transpose_b")) is reads_table
    assert [array.shape for array in graph.constants.values()] == [
        (40, 16) if reads_table else (16, 40)
    ]
    agree(proto, inputs)


def test_what_counts_is_what_is_in_them():
    nodes = [N("Gather", ["table", "ids"], ["x"]), N("MatMul", ["x", "other"], ["y"])]
    for other, reads_table in ((TABLE.T, True), (TABLE.T + 1, False)):
        weights = {"table": TABLE, "other": np.ascontiguousarray(other)}
        graph = import_graph(model(nodes, {"ids": np.array([3, 39, 0])}, ["y"], weights))
        (product,) = (op.node for op in graph.ops if op.node.op == "matmul")
        assert bool(product.attr("transpose_b")) is reads_table
