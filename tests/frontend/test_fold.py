"""Constant folding, and scales that move into weights."""

from __future__ import annotations

import numpy as np
from graph_building import Sketch, array, names, same

from luthier.frontend.fold import fold_constants
from luthier.frontend.fold_scales import fold_scales
from luthier.frontend.layout import channels_last
from luthier.schedules import Tensor


def test_what_is_known_is_computed() -> None:
    g = Sketch()
    x = g.x(3, 5)
    scale = g.emit("sqrt", g.emit("multiply", g.const(5), g.const(5)))
    before = g.graph(g.emit("multiply", x, scale))
    after = fold_constants(before)
    assert names(after) == ["multiply"]
    same(before, after)


def test_a_single_number_becomes_a_literal_of_the_kernel() -> None:
    g = Sketch()
    x = g.x(3, 5)
    half = g.constant(np.full((1, 1), 0.1, np.float32))
    before = g.graph(g.emit("multiply", x, half))
    after = fold_constants(before)
    assert [op.node.op for op in after.ops] == ["const", "multiply"]
    assert after.ops[0].node.attr("value") == float(np.float32(0.1))
    assert not after.constants
    same(before, after)


def test_literals_are_exact_for_every_type() -> None:
    for dtype, number in [("int64", 2**62 + 1), ("bool", True), ("float32", np.inf)]:
        g = Sketch()
        x = g.input("x", Tensor((3,), dtype))
        value = g.constant(np.asarray([number], dtype))
        op = "equal" if dtype == "bool" else "maximum"
        (const, *_) = fold_constants(g.graph(g.emit(op, x, value))).ops
        text = const.node.attr("value")
        assert (float(text) if isinstance(text, str) else text) == number


def test_a_constant_output_stays() -> None:
    g = Sketch()
    g.x(2)
    before = g.graph(g.emit("negative", g.const(4)))
    after = fold_constants(before)
    assert names(after) == []
    same(before, after)


def test_a_cast_of_a_constant_has_the_type_it_says() -> None:
    g = Sketch()
    x = g.x(4)
    double = g.constant(array(4).astype(np.float64))
    cast = g.emit("cast", double, out=Tensor((4,)))
    after = fold_constants(g.graph(g.emit("add", x, cast)))
    (constant,) = after.constants.values()
    assert constant.dtype == np.float32


def test_large_results_are_left_to_run_time() -> None:
    g = Sketch()
    x = g.x(1, 1)
    row, column = g.constant(array(1, 5000)), g.constant(array(5000, 1))
    table = g.emit("multiply", row, column)  # 100 MB
    after = fold_constants(g.graph(g.emit("add", table, x)))
    assert names(after) == ["multiply", "add"]


def test_equal_constants_and_equal_operators_are_one() -> None:
    g = Sketch()
    x = g.x(3)
    a, b = g.emit("add", x, g.const(3)), g.emit("add", x, g.const(3))
    assert a == b
    assert len(g.graph(g.emit("multiply", a, b)).constants) == 1


# Scales behind convolutions and products.


def folded(g: Sketch, *outputs: int) -> list[str]:
    before = g.graph(*outputs)
    after = fold_constants(fold_scales(channels_last(fold_constants(before))))
    same(before, after)
    return [name for name in names(after) if name != "transpose"]


def test_batch_normalisation_moves_into_the_weights() -> None:
    g = Sketch()
    y = g.bias(g.conv(g.x(2, 4, 5, 6), 8))
    y = g.bias(g.emit("multiply", y, g.const(1, 8, 1, 1, seed=5)), seed=6)
    assert folded(g, g.emit("relu", y)) == ["conv2d", "add", "relu"]


def test_scales_in_a_row_all_move() -> None:
    g = Sketch()
    y = g.conv(g.x(2, 4, 5, 6), 8)
    for seed in (5, 6):
        y = g.bias(g.emit("multiply", y, g.const(1, 8, 1, 1, seed=seed)), seed=seed + 2)
    assert folded(g, y) == ["conv2d", "add"]


def test_a_normalisation_without_a_convolution_is_one_scale_and_one_shift() -> None:
    g = Sketch()
    y = g.x(3, 5)
    for seed in range(3):
        y = g.emit("multiply", y, g.const(5, seed=seed))
        y = g.emit("add", g.const(1, 5, seed=seed + 4), y)
    assert folded(g, y) == ["multiply", "add"]


def test_a_sum_that_others_see_stays() -> None:
    g = Sketch()
    first = g.emit("add", g.x(3, 5), g.const(5))
    assert folded(g, first, g.emit("add", first, g.const(5, seed=2))) == ["add", "add"]


def test_terms_that_would_spread_into_a_table_stay() -> None:
    g = Sketch()
    y = g.emit("add", g.emit("add", g.x(3, 5), g.const(5)), g.const(3, 1))
    assert folded(g, y) == ["add", "add"]


def test_columns_of_a_product_scale_too() -> None:
    g = Sketch()
    product = g.emit("matmul", g.x(3, 4), g.const(4, 5), transpose_b=False)
    assert folded(g, g.emit("multiply", g.const(5, seed=2), product)) == ["matmul"]


def test_a_scale_stays_where_the_product_is_seen_by_others() -> None:
    g = Sketch()
    product = g.emit("matmul", g.x(3, 4), g.const(4, 5), transpose_b=False)
    scaled = g.emit("multiply", product, g.const(5, seed=2))
    assert folded(g, product, scaled) == ["matmul", "multiply"]


def test_a_scale_of_rows_stays() -> None:
    g = Sketch()
    product = g.emit("matmul", g.x(3, 4), g.const(4, 5), transpose_b=False)
    assert folded(g, g.emit("multiply", product, g.const(3, 1))) == ["matmul", "multiply"]


def test_a_factor_that_widens_the_product_stays() -> None:
    g = Sketch()
    product = g.emit("matmul", g.x(3, 4), g.const(4, 1), transpose_b=False)
    assert folded(g, g.emit("multiply", product, g.const(5, seed=2))) == ["matmul", "multiply"]
