"""Channels last everywhere: transposes only where channels-first tensors come in and go out."""

from __future__ import annotations

import numpy as np
import pytest
from graph_building import Sketch, names, same
from hypothesis import given
from hypothesis import strategies as st

from luthier.frontend.graph import Graph
from luthier.frontend.passes.channels_last import (
    channels_last,
    inverse,
    is_view,
    matching_groups,
    permuted,
)
from luthier.frontend.passes.fold_constants import fold_constants
from luthier.schedules import Tensor


def laid_out(before: Graph) -> Graph:
    after = fold_constants(channels_last(fold_constants(before)))
    same(before, after)
    return after


def moves(graph: Graph) -> int:
    return names(graph).count("transpose")


def test_a_convolutional_network_moves_elements_at_its_ends_alone() -> None:
    g = Sketch()
    y = g.emit("relu", g.bias(g.conv(g.x(2, 3, 7, 6), 8)))
    skip = y
    y = g.emit("relu", g.bias(g.conv(y, 8), seed=4))
    y = g.emit("add", g.bias(g.conv(y, 8), seed=5), skip)
    after = laid_out(g.graph(g.conv(y, 4)))
    assert names(after)[0] == names(after)[-1] == "transpose"
    assert moves(after) == 2


def test_a_mean_of_neighbouring_channels_follows_the_layout() -> None:
    g = Sketch()
    y = g.emit("window_mean", g.conv(g.x(2, 3, 7, 6), 8), axis=1, size=5, before=2)
    assert moves(laid_out(g.graph(g.conv(y, 4)))) == 2


def test_weights_and_biases_are_laid_out_when_built() -> None:
    g = Sketch()
    after = laid_out(g.graph(g.bias(g.conv(g.x(1, 3, 5, 5), 8))))
    assert {a.shape for a in after.constants.values()} == {(8, 3, 3, 3), (1, 1, 1, 8)}


def test_a_head_after_a_mean_needs_no_move() -> None:
    g = Sketch()
    y = g.conv(g.x(2, 3, 7, 6), 8)
    pooled = g.emit("mean", y, axes=(2, 3), keepdims=True)
    flat = g.reshape(pooled, 2, 8)
    after = laid_out(g.graph(g.emit("matmul", flat, g.const(8, 5), transpose_b=False)))
    assert moves(after) == 1


def test_flattening_feature_maps_moves_once() -> None:
    """Its elements are channels first for whoever reads them."""
    g = Sketch()
    y = g.reshape(g.conv(g.x(2, 3, 4, 4), 8), 2, 128)
    after = laid_out(g.graph(g.emit("matmul", y, g.const(128, 5), transpose_b=False)))
    assert moves(after) == 2


@pytest.mark.parametrize("op", ["concat", "softmax", "slice", "pad", "sum", "take"])
def test_operators_along_channels_follow_them(op: str) -> None:
    g = Sketch()
    y = g.conv(g.x(2, 3, 4, 4), 6)
    if op == "concat":
        y = g.emit("concat", y, g.emit("relu", y), axis=1)
    elif op == "softmax":
        y = g.emit("softmax", y, axis=1)
    elif op == "slice":
        y = g.emit("slice", y, out=Tensor((2, 3, 4, 2)), begin=(0, 5, 0, 3), steps=(1, -2, 1, -1))
    elif op == "pad":
        attrs = {"before": (0, 1, 0, 2), "value": 0.5, "mode": "constant"}
        y = g.emit("pad", y, out=Tensor((2, 8, 4, 7)), **attrs)
    elif op == "take":
        y = g.emit("take", y, g.constant(np.array([3, 0, 5, 5])), axis=1)
    else:
        y = g.emit("sum", y, axes=(1, 3), keepdims=True)
        y = g.emit("broadcast_to", y, out=Tensor((2, 6, 4, 4)))
    after = laid_out(g.graph(g.conv(y, 4)))
    assert moves(after) == 2


def test_a_vector_across_columns_is_not_moved_into_channels() -> None:
    g = Sketch()
    y = g.emit("add", g.conv(g.x(2, 3, 4, 5), 6), g.x(5, name="columns"))
    after = laid_out(g.graph(g.conv(y, 4)))
    assert moves(after) == 2


def test_a_shuffle_of_channels_keeps_its_meaning() -> None:
    g = Sketch()
    y = g.reshape(g.conv(g.x(2, 3, 4, 5), 6), 2, 2, 3, 4, 5)
    y = g.reshape(g.emit("transpose", y, axes=(0, 2, 1, 3, 4)), 2, 6, 4, 5)
    laid_out(g.graph(g.conv(y, 4)))


def test_a_factor_that_is_transposed_is_read_so_by_the_product() -> None:
    """As in attention: keys need not be moved."""
    g = Sketch()
    a, b = g.x(2, 4, 6, 8), g.x(2, 4, 5, 8, name="keys")
    swapped = g.emit("transpose", b, axes=(0, 1, 3, 2))
    after = laid_out(g.graph(g.emit("matmul", a, swapped, transpose_b=False)))
    assert names(after) == ["matmul"]
    assert after.ops[0].node.attr("transpose_b")


def test_transposes_that_cancel_vanish() -> None:
    g = Sketch()
    x = g.x(2, 3, 4)
    y = g.emit("transpose", g.emit("transpose", x, axes=(2, 0, 1)), axes=(1, 2, 0))
    assert names(laid_out(g.graph(g.emit("relu", y)))) == ["relu"]


def test_moving_dimensions_of_one_element_is_a_view() -> None:
    g = Sketch()
    y = g.emit("transpose", g.x(1, 8, 1, 1), axes=(0, 2, 3, 1))
    assert names(laid_out(g.graph(y))) == ["reshape"]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("new", [2, 5, 9])
def test_a_cache_stays_as_it_lies_however_many_rows_are_new(new: int, masked: bool) -> None:
    g = Sketch()
    past, rows = g.x(2, 3, 5, 4, name="past"), g.x(2, new, 3, 4, name="rows")
    y = g.emit("concat", past, g.emit("transpose", rows, axes=(0, 2, 1, 3)), axis=2)
    if masked:
        y = g.emit("where", g.emit("greater", y, g.const(1, 1, 5 + new, 1)), y, g.scalar(0))
    after = laid_out(g.graph(y))
    moved = [op.node.args[0] for op in after.ops if op.node.op == "transpose"]
    assert moved == [dict(after.inputs)["rows"]]


def test_an_input_that_is_an_output_keeps_its_order() -> None:
    g = Sketch()
    x = g.x(1, 3, 4, 4)
    laid_out(g.graph(x, g.conv(x, 4), x))


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@given(shapes, st.randoms())
def test_views_keep_the_order_of_bytes(shape: list[int], random: object) -> None:
    axes = list(range(len(shape)))
    random.shuffle(axes)  # type: ignore[attr-defined]
    numbers = np.arange(np.prod(shape)).reshape(shape)
    moved = numbers.transpose(axes)
    assert moved.shape == permuted(shape, axes)
    assert moved.transpose(inverse(tuple(axes))).shape == tuple(shape)
    if is_view(shape, axes):
        assert moved.reshape(-1).tolist() == numbers.reshape(-1).tolist()


@given(shapes, st.data())
def test_reshapes_split_into_runs_of_equal_size(shape: list[int], data: st.DataObject) -> None:
    flat = [f for size in shape for f in ([2, 2] if size == 4 else [size])]
    cuts = data.draw(st.lists(st.booleans(), min_size=len(flat), max_size=len(flat)))
    after = [1]
    for factor, cut in zip(flat, cuts, strict=True):
        if cut:
            after.append(factor)
        else:
            after[-1] *= factor
    for inside, outside in matching_groups(shape, after):
        assert np.prod([shape[i] for i in inside]) == np.prod([after[i] for i in outside]) > 1
