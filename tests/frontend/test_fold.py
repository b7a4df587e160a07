"""Constant folding, and scales that move into weights."""

from __future__ import annotations

import numpy as np
import pytest
from graph_building import CONVOLUTION, Sketch, array, inputs, names, outputs, same

from luthier.frontend.passes.channels_last import channels_last
from luthier.frontend.passes.fold_constants import fold_constants
from luthier.frontend.passes.fold_scales import fold_scales
from luthier.schedules import Tensor


def test_operators_on_constants_are_folded() -> None:
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


# Scales after convolutions and products.


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


def test_a_sum_with_other_readers_stays() -> None:
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


def test_a_scale_stays_where_the_product_has_other_readers() -> None:
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


# Numbers for which folding would leave the range of float32, or lose what is left of it.


def spread(*numbers: float) -> np.ndarray:
    return np.asarray(numbers, np.float32)


@pytest.mark.parametrize("kind", ["conv2d", "matmul", "multiply"])
@pytest.mark.parametrize(
    ("weight", "scale"),
    [
        (1e30, 1e10),
        (1e30, 1e-30),
        (1e-30, 1e-20),
        (1e-25, 1e25),
        (1e20, 1e-20),
        (1.0, 3e38),
        (1.0, np.inf),
        (np.inf, 0.0),
        (np.nan, 1.0),
    ],
)
def test_a_scale_stays_where_its_product_leaves_the_range(kind, weight, scale) -> None:
    g = Sketch()
    numbers = spread(weight, weight, weight)
    if kind == "conv2d":
        weights = g.constant(np.broadcast_to(numbers[:, None, None, None], (3, 1, 1, 2)).copy())
        y = g.emit("conv2d", g.x(1, 2, 2, 2), weights, **CONVOLUTION | {"pads": (0, 0, 0, 0)})
    elif kind == "matmul":
        y = g.emit("matmul", g.x(5, 1), g.constant(numbers[None]), transpose_b=False)
    else:
        y = g.emit("multiply", g.x(5, 3), g.constant(numbers))
    before = g.graph(g.emit("multiply", y, g.constant(spread(1.0, scale, 2.0))))
    after = fold_scales(before)
    assert names(after) == [kind, "multiply"]


@pytest.mark.parametrize("shift", [1e30, np.inf, np.nan])
def test_a_shift_stays_where_its_product_leaves_the_range(shift) -> None:
    g = Sketch()
    product = g.emit("matmul", g.x(5, 1), g.const(1, 3), transpose_b=False)
    shifted = g.emit("add", product, g.constant(spread(0.0, shift, 1.0)))
    after = fold_scales(g.graph(g.emit("multiply", shifted, g.const(3))))
    assert names(after) == ["matmul", "add", "multiply"]


@pytest.mark.parametrize(
    ("first", "second", "folds"),
    [
        (1.0, -1.0, False),
        (1e8, -1e8, False),
        (1e8, 1e8, True),
        (1e4, -9.9e3, False),
        (1.5, -1.25, True),
        (0.0, 0.0, True),
        (0.0, 2.0, True),
        (3e38, 3e38, False),
        (np.inf, 1.0, False),
        (np.inf, -np.inf, False),
        (np.nan, 1.0, False),
    ],
)
def test_terms_are_added_up_unless_they_cancel(first, second, folds) -> None:
    g = Sketch()
    inner = g.emit("add", g.x(5, 3), g.constant(spread(1.0, first, 2.0)))
    before = g.graph(g.emit("add", inner, g.constant(spread(0.5, second, 2.0))))
    after = fold_scales(before)
    assert names(after) == (["add"] if folds else ["add", "add"])
    if folds:
        same(before, after)


def test_channels_of_zeros_do_not_stop_a_scale() -> None:
    """What weight decay and pruning leave: zeros, and numbers that hardly differ."""
    for left in (0.0, 1e-42):
        g = Sketch()
        weights = array(4, 3)
        weights[:, 1] = left
        product = g.emit("matmul", g.x(5, 4), g.constant(weights), transpose_b=False)
        y = g.emit("multiply", product, g.constant(spread(left, 1.0, 3.0)))
        y = g.emit("add", y, g.constant(spread(1e-14, left, -1.0)))
        y = g.emit("multiply", y, g.constant(spread(2.0, 1e-20, 3.0)))
        assert folded(g, y) == ["matmul", "add"]


def test_a_long_chain_of_scales_and_shifts_folds_in_linear_time() -> None:
    g = Sketch()
    y = g.conv(g.x(1, 2, 3, 3), 4)
    for i in range(3000):
        y = g.emit("multiply", y, g.constant(spread(1.0, 0.5 + i % 2 * 1.5, 1, 1)[:, None, None]))
        y = g.emit("add", y, g.constant(np.full((4, 1, 1), 1e-3 * (1 + i % 7), np.float32)))
    assert folded(g, y) == ["conv2d", "add"]


@pytest.mark.parametrize("rank", range(5))
@pytest.mark.parametrize("other", range(5))
def test_scales_and_shifts_of_every_rank(rank: int, other: int) -> None:
    """A constant of more dimensions than what it scales adds to the result's."""
    g = Sketch()
    y = g.x(*(1,) * rank)
    for op, seed in (("multiply", 1), ("multiply", 2), ("add", 3), ("add", 4), ("multiply", 5)):
        y = g.emit(op, y, g.const(*(1,) * other, seed=seed))
    before = g.graph(y)
    for after in (fold_scales(before), fold_constants(fold_scales(fold_constants(before)))):
        same(before, after)


def test_zeros_of_either_sign_are_different_constants() -> None:
    g = Sketch()
    x = g.x(4)
    a, b = (g.emit("multiply", x, g.constant(spread(z))) for z in (0.0, -0.0))
    (left, right) = (
        np.signbit(a) for a in outputs(fold_constants(g.graph(a, b)), inputs(g.graph(x))).values()
    )
    assert (left != right).all()
