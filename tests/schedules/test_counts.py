"""How much arithmetic a workload is, and how many bytes it moves: counted by hand."""

from __future__ import annotations

import pytest

from luthier.schedules import Node, Tensor, Workload, node
from luthier.schedules.ops.counts import flops, traffic


def workload(inputs: list[Tensor], *nodes: Node) -> Workload:
    return Workload(tuple(inputs), (False,) * len(inputs), nodes)


def test_a_matrix_product_counts_two_for_each_multiply_add():
    a, b, out = Tensor((7, 11)), Tensor((11, 5)), Tensor((7, 5))
    assert flops(workload([a, b], node("matmul", (0, 1), out))) == 2 * 7 * 5 * 11


def test_a_batch_of_products_and_a_transposed_one():
    a, b, out = Tensor((3, 7, 11)), Tensor((3, 5, 11)), Tensor((3, 7, 5))
    product = node("matmul", (0, 1), out, transpose_b=True)
    assert flops(workload([a, b], product)) == 2 * 3 * 7 * 5 * 11


def conv(groups: int, out: Tensor, weights: Tensor, op: str = "conv2d") -> Node:
    return node(op, (0, 1), out, strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=groups)


def test_a_convolution_counts_as_the_direct_one():
    x, w, out = Tensor((1, 56, 56, 64)), Tensor((128, 3, 3, 64)), Tensor((1, 56, 56, 128))
    assert flops(workload([x, w], conv(1, out, w))) == 2 * 56 * 56 * 128 * 3 * 3 * 64


def test_a_depthwise_convolution():
    x, w = Tensor((1, 20, 20, 32)), Tensor((32, 3, 3, 1))
    assert flops(workload([x, w], conv(32, x, w))) == 2 * 20 * 20 * 32 * 9


def test_a_transposed_convolution_has_taps_for_each_input():
    x, w, out = Tensor((1, 8, 8, 6)), Tensor((6, 3, 3, 4)), Tensor((1, 8, 8, 4))
    node_ = conv(1, out, w, "conv2d_transpose")
    assert flops(workload([x, w], node_)) == 2 * (8 * 8 * 6) * (3 * 3 * 4)


@pytest.mark.parametrize(
    ("op", "attributes", "each"),
    [
        ("sum", {"axes": (1,), "keepdims": False}, 1),
        ("mean", {"axes": (1,), "keepdims": False}, 1),
        ("softmax", {"axis": 1}, 4),
        ("log_softmax", {"axis": 1}, 4),
    ],
)
def test_reductions_count_their_input(op, attributes, each):
    x = Tensor((6, 10))
    out = x if "softmax" in op else Tensor((6,))
    assert flops(workload([x], node(op, (0,), out, **attributes))) == each * 60


def test_pooling_counts_one_for_each_tap():
    x, out = Tensor((1, 8, 8, 3)), Tensor((1, 4, 4, 3))
    pool = node(
        "max_pool2d", (0,), out,
        kernel=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0), dilations=(1, 1),
    )  # fmt: skip
    assert flops(workload([x], pool)) == 4 * 4 * 3 * 4


def test_elementwise_operators_count_their_output_and_casts_nothing():
    x = Tensor((6, 10))
    chain = [node("add", (0, 0), x), node("relu", (1,), x)]
    cast = node("cast", (2,), Tensor((6, 10), "float64"))
    assert flops(workload([x], *chain)) == 120
    assert flops(workload([x], *chain, cast)) == 120


def test_data_movement_counts_nothing():
    x, out = Tensor((6, 10)), Tensor((10, 6))
    assert flops(workload([x], node("transpose", (0,), out, axes=(1, 0)))) == 0


# ---- bytes ----


def test_inputs_and_output_count_once_each():
    a, b, out = Tensor((7, 11)), Tensor((11, 5)), Tensor((7, 5))
    chain = [node("matmul", (0, 1), out), node("add", (2, 2), out)]
    assert traffic(workload([a, b], *chain)) == 4 * (7 * 11 + 11 * 5 + 7 * 5)


def test_an_input_that_is_read_twice_counts_once():
    x = Tensor((6, 10))
    assert traffic(workload([x], node("add", (0, 0), x))) == 2 * 240


def test_a_table_counts_as_much_as_is_looked_up():
    table, ids, out = Tensor((1000, 8)), Tensor((3,), "int64"), Tensor((3, 8))
    look_up = node("take", (0, 1), out, axis=0)
    assert traffic(workload([table, ids], look_up)) == 2 * 96 + 24
    both = [look_up, node("sum", (0,), Tensor(()), axes=(0, 1), keepdims=False)]
    assert traffic(workload([table, ids], *both)) == 32000 + 24 + 4


def test_looking_up_more_than_there_is_reads_it_all():
    table, ids, out = Tensor((2, 8)), Tensor((3,), "int64"), Tensor((3, 8))
    assert traffic(workload([table, ids], node("take", (0, 1), out, axis=0))) == 64 + 24 + 96
