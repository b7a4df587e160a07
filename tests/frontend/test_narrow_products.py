"""Products with few columns have their lanes along the depth."""

from __future__ import annotations

import pytest
from graph_building import Sketch, names, same

from luthier.frontend.passes.narrow_products import narrow_products


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((5, 7), (7, 1)), ((1, 3000), (3000, 1)), ((2, 3, 5, 7), (7, 1)), ((5, 7), (4, 7, 1)),
        ((4, 1, 7), (4, 7, 1)), ((3, 1, 5, 7), (1, 2, 7, 1)), ((5, 1), (1, 1)),
    ],
)  # fmt: skip
def test_one_column_is_a_sum(left: tuple[int, ...], right: tuple[int, ...], known: bool) -> None:
    g = Sketch()
    b = g.const(*right) if known else g.x(*right, name="b")
    before = g.graph(g.emit("matmul", g.x(*left), b, transpose_b=False))
    after = narrow_products(before)
    same(before, after)
    assert "matmul" not in names(after)
    assert {"multiply", "sum"} <= set(names(after))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("columns", [2, 3, 4])
@pytest.mark.parametrize(
    ("left", "batch"), [((16, 32), ()), ((2, 3, 9, 16), ()), ((2, 16, 24), (2,))]
)
def test_few_columns_are_rows_of_the_transposed_product(
    left: tuple[int, ...], batch: tuple[int, ...], columns: int, known: bool
) -> None:
    g, shape = Sketch(), (*batch, left[-1], columns)
    b = g.const(*shape) if known else g.x(*shape, name="b")
    before = g.graph(g.emit("matmul", g.x(*left), b, transpose_b=False))
    after = narrow_products(before)
    same(before, after)
    (product,) = (op.node for op in after.ops if op.node.op == "matmul")
    assert product.attr("transpose_b")
    assert product.out.shape[-2] == columns


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((16, 32), (32, 5)),
        ((15, 32), (32, 3)),
        ((16, 33), (33, 3)),
        ((2, 16, 32), (1, 32, 3)),
        ((2, 15, 32), (2, 32, 3)),
    ],
)
def test_others_stay(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    g = Sketch()
    before = g.graph(g.emit("matmul", g.x(*left), g.x(*right, name="b"), transpose_b=False))
    assert narrow_products(before) == before


def test_what_lies_in_the_order_of_its_columns_stays() -> None:
    g = Sketch()
    before = g.graph(g.emit("matmul", g.x(20, 32), g.x(1, 32, name="b"), transpose_b=True))
    assert narrow_products(before) == before
