"""Fusion: what becomes one kernel, and what must not."""

from __future__ import annotations

import numpy as np
import pytest
from graph_building import Sketch, kernels, lowered
from onnx_models import TARGET

from luthier.frontend.graph import Graph
from luthier.frontend.lowering.lower import lower
from luthier.frontend.passes.channels_last import channels_last
from luthier.frontend.passes.fold_constants import fold_constants
from luthier.frontend.passes.legalize import legalize
from luthier.frontend.program import Program
from luthier.schedules import Tensor
from luthier.schedules.templates.registry import spaces


def program(graph: Graph) -> Program:
    """The program after the passes before fusion; every workload has a template."""
    for rewrite in (fold_constants, channels_last, legalize, fold_constants):
        graph = rewrite(graph)
    made = lowered(graph)
    for call in made.calls:
        assert spaces(call.workload, TARGET)
    return made


def fused(g: Sketch, *outputs: int) -> list[list[str]]:
    return [k for k in kernels(program(g.graph(*outputs))) if k != ["transpose"]]


def swish(g: Sketch, x: int) -> int:
    return g.emit("multiply", x, g.emit("sigmoid", x))


def gelu(g: Sketch, x: int) -> int:
    bent = g.emit("erf", g.emit("multiply", x, g.scalar(0.7071)))
    return g.emit(
        "multiply", g.emit("multiply", x, g.scalar(0.5)), g.emit("add", bent, g.scalar(1))
    )


# Below convolutions and products.


def test_bias_residual_and_activation_join_the_convolution() -> None:
    g = Sketch()
    x = g.x(1, 8, 6, 5)
    y = g.emit("relu", g.emit("add", g.bias(g.conv(x, 8)), x))
    assert fused(g, y) == [["conv2d", "add", "add", "relu"]]


@pytest.mark.parametrize(
    ("activation", "joined"),
    [
        (swish, ["sigmoid", "multiply"]),
        (gelu, ["multiply", "erf", "add", "multiply", "multiply"]),
    ],
)
def test_activations_that_read_a_value_twice_join_as_a_whole(activation, joined) -> None:
    g = Sketch()
    product = g.emit("matmul", g.x(3, 4), g.const(4, 8), transpose_b=False)
    ((first, second, *rest),) = fused(g, activation(g, g.emit("add", product, g.const(8))))
    assert [first, second] == ["matmul", "add"]
    assert sorted(rest) == sorted(joined)


def test_of_two_products_that_are_added_the_later_takes_the_sum() -> None:
    g = Sketch()
    x = g.x(1, 8, 6, 5)
    y = g.emit("relu", g.emit("add", g.bias(g.conv(x, 8)), g.bias(g.conv(x, 8, size=1), seed=7)))
    assert fused(g, y) == [["conv2d", "add"], ["conv2d", "add", "add", "relu"]]


def test_a_value_that_is_an_output_is_stored() -> None:
    g = Sketch()
    product = g.emit("matmul", g.x(3, 4), g.const(4, 8), transpose_b=False)
    assert fused(g, product, g.emit("relu", product)) == [["matmul"], ["relu"]]


def test_a_value_that_several_kernels_need_is_stored_once() -> None:
    g = Sketch()
    y = g.emit("exp", g.emit("matmul", g.x(3, 4), g.const(4, 4), transpose_b=False))
    left = g.emit("matmul", y, g.const(4, 2), transpose_b=False)
    right = g.emit("matmul", y, g.const(4, 3), transpose_b=False)
    assert fused(g, left, right) == [["matmul", "exp"], ["matmul"], ["matmul"]]


def test_the_head_of_squeeze_and_excitation() -> None:
    """Maps of one element move as views, which hide nothing from fusion."""
    g = Sketch()
    x = g.x(2, 8, 6, 6)
    mean = g.emit("mean", x, axes=(2, 3), keepdims=True)
    inner = g.emit("relu", g.bias(g.conv(mean, 4, size=1)))
    gate = g.emit("sigmoid", g.bias(g.conv(inner, 8, size=1)))
    assert fused(g, g.emit("multiply", x, gate)) == [
        ["mean"],
        ["conv2d", "add", "relu"],
        ["conv2d", "add", "sigmoid"],
        ["multiply"],
    ]


@pytest.mark.parametrize("dtype", ["int32", "float16", "float64"])
def test_only_what_templates_store_joins_a_product(dtype: str) -> None:
    g = Sketch()
    product = g.emit("matmul", g.x(3, 4), g.const(4, 8), transpose_b=False)
    y = g.emit("relu", product)
    assert fused(g, g.emit("cast", y, out=Tensor((3, 8), dtype))) == [["matmul", "relu"], ["cast"]]


def test_a_comparison_inside_does_no_harm() -> None:
    g = Sketch()
    product = g.emit("matmul", g.x(3, 4), g.const(4, 8), transpose_b=False)
    positive = g.emit("greater", product, g.scalar(0))
    y = g.emit("where", positive, product, g.emit("multiply", product, g.scalar(0.1)))
    assert fused(g, y) == [["matmul", "greater", "multiply", "where"]]


# Above reductions.


def test_a_value_for_a_reduction_alone_is_computed_in_it() -> None:
    g = Sketch()
    x = g.x(4, 9)
    total = g.emit("sum", g.emit("exp", x), axes=(1,), keepdims=True)
    assert fused(g, g.emit("log", total)) == [["exp", "sum", "log"]]


def test_a_mask_joins_the_softmax() -> None:
    g = Sketch()
    scores = g.emit("multiply", g.x(2, 4, 5, 5), g.scalar(0.3))
    y = g.emit("softmax", g.emit("add", scores, g.x(1, 1, 5, 5, name="mask")), axis=3)
    assert fused(g, y) == [["multiply", "add", "softmax"]]


def test_a_softmax_does_not_repeat_what_is_expensive() -> None:
    g = Sketch()
    assert fused(g, g.emit("softmax", g.emit("tanh", g.x(4, 9)), axis=1)) == [
        ["tanh"],
        ["softmax"],
    ]


@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d"])
def test_pooling_reads_stored_values(op: str) -> None:
    """Its template takes nothing before it."""
    g = Sketch()
    x = g.x(1, 6, 6, 8)
    attrs = {"kernel": (2, 2), "strides": (2, 2), "pads": (0,) * 4, "dilations": (1, 1)}
    attrs |= {"count_include_pad": False} if op == "avg_pool2d" else {}
    y = g.emit(op, g.emit("relu", x), out=Tensor((1, 3, 3, 8)), **attrs)
    assert fused(g, x, g.emit("relu", y)) == [["relu"], [op, "relu"]]


# Elementwise operators and data movement.


def test_a_chain_of_elementwise_operators_is_one_kernel() -> None:
    g = Sketch()
    x = g.x(3, 5)
    y = g.emit("tanh", g.emit("add", g.emit("exp", x), g.x(5, name="row")))
    assert fused(g, y) == [["exp", "add", "tanh"]]


def test_an_expensive_value_is_not_computed_for_every_element_of_a_broadcast() -> None:
    g = Sketch()
    row = g.emit("exp", g.x(64))
    y = g.emit("add", row, g.x(64, 64, name="matrix"))
    assert fused(g, y) == [["exp"], ["add"]]


def test_a_cheap_value_may_be_computed_for_every_element() -> None:
    g = Sketch()
    row = g.emit("negative", g.x(64))
    assert fused(g, g.emit("add", row, g.x(4, 64, name="matrix"))) == [["negative", "add"]]


def test_sums_over_growing_spans_are_not_computed_over_and_over() -> None:
    """Each step reads the one before at two places: in one kernel that would double every step."""
    g = Sketch()
    y = g.x(4, 512)
    for step in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        begin = {"begin": (0, 0), "steps": (1, 1)}
        head = g.emit("slice", y, out=Tensor((4, 512 - step)), **begin)
        pad = {"before": (0, step), "value": 0.0, "mode": "constant"}
        y = g.emit("add", y, g.emit("pad", head, out=Tensor((4, 512)), **pad))
    found = fused(g, y)
    assert all(k.count("add") <= 3 for k in found)
    assert sum(k.count("add") for k in found) == 9


def test_kernels_stay_of_readable_size() -> None:
    g = Sketch()
    y = g.x(3, 5)
    for _ in range(100):
        y = g.emit("multiply", g.emit("add", y, g.scalar(0.1)), g.scalar(0.9))
    found = fused(g, y)
    assert 1 < len(found) < 10
    assert max(map(len, found)) <= 40


def test_kernels_take_a_limited_number_of_tensors() -> None:
    g = Sketch()
    y = g.x(7)
    for i in range(150):
        y = g.emit("add", y, g.x(7, name=f"x{i}"))
    made = program(g.graph(y))
    assert max(len(c.args) for c in made.calls) <= 64


@pytest.mark.parametrize(
    ("taken", "found"),
    [(3, [["transpose", "take", "relu"]]), (90, [["transpose"], ["take", "relu"]])],
)
def test_rows_that_are_taken_often_are_transposed_once(taken: int, found: list[list[str]]) -> None:
    """Of few, no others are moved either."""
    g = Sketch()
    rows = g.emit("transpose", g.x(8, 30), axes=(1, 0))
    places = g.input("places", Tensor((taken,), "int32"))
    y = g.emit("relu", g.emit("take", rows, places, axis=0))
    assert kernels(lowered(g.graph(y))) == found


def test_a_view_in_between_costs_no_kernel() -> None:
    g = Sketch()
    y = g.reshape(g.emit("relu", g.x(3, 8)), 2, 12)
    made = program(g.graph(g.emit("exp", y)))
    assert kernels(made) == [["relu"], ["exp"]]
    assert len(made.views) == 1


def test_an_operator_of_relax_stands_alone() -> None:
    g = Sketch()
    x = g.emit("relu", g.x(3, 8))
    attrs = {"attrs": "relax.attrs.ArgmaxArgminAttrs", "axis": 1, "keepdims": False}
    y = g.emit("relax.argmax", x, out=Tensor((3,), "int64"), **attrs)
    graph = fold_constants(g.graph(g.emit("negative", y)))
    made = lower(graph)
    assert kernels(made) == [["relu"], ["relax.argmax"], ["negative"]]


def test_half_precision_is_computed_in_single() -> None:
    g = Sketch()
    x = g.input("x", Tensor((3, 4), "float16"))
    weights = g.constant(np.ones((4, 5), np.float16))
    graph = fold_constants(legalize(g.graph(g.emit("matmul", x, weights, transpose_b=False))))
    assert [op.node.op for op in graph.ops] == ["cast", "matmul", "cast"]
    (constant,) = graph.constants.values()
    assert constant.dtype == np.float32
