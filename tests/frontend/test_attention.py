"""Attention: every way in which exporters spell it becomes one kernel, and look-alikes do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graph_building import Sketch, names, same

from luthier.frontend.graph import Graph
from luthier.frontend.passes.attention import fuse_attention
from luthier.frontend.passes.fold_constants import fold_constants
from luthier.schedules import Tensor

N, H, M, S, D = 2, 3, 12, 10, 4


def heads(g: Sketch, value: int, rows: int) -> int:
    """[N, rows, H * D] to [N, H, rows, D]."""
    split = g.reshape(value, N, rows, H, D)
    return g.emit("transpose", split, axes=(0, 2, 1, 3))


def joined(g: Sketch, value: int) -> int:
    return g.reshape(g.emit("transpose", value, axes=(0, 2, 1, 3)), N, M, H * D)


def softmax(g: Sketch, scores: int) -> int:
    return g.emit("softmax", scores, axis=3)


class Case:
    """Operands of one attention, through the usual movements."""

    def __init__(self) -> None:
        self.g = Sketch()
        self.q = heads(self.g, self.g.x(N, M, H * D, name="q"), M)
        self.k = heads(self.g, self.g.x(N, S, H * D, name="k"), S)
        self.v = heads(self.g, self.g.x(N, S, H * D, name="v"), S)

    def scores(self) -> int:
        return self.g.emit("matmul", self.q, self.k, transpose_b=True)

    def finish(self, weights: int) -> Graph:
        return self.g.graph(joined(self.g, self.g.emit("matmul", weights, self.v)))


def checked(graph: Graph) -> list[str]:
    after = fold_constants(fuse_attention(graph))
    same(graph, after)
    return names(after)


def plain(c: Case) -> int:
    return c.scores()


def scaled(c: Case) -> int:
    return c.g.emit("multiply", c.scores(), c.g.scalar(0.5))


def divided(c: Case) -> int:
    return c.g.emit("divide", c.scores(), c.g.constant(np.full((1,), 2.0, np.float32)))


def scaled_operands(c: Case) -> int:
    c.q = c.g.emit("multiply", c.q, c.g.scalar(0.7))
    c.k = c.g.emit("multiply", c.g.scalar(0.7), c.k)
    return c.scores()


def transposed_keys(c: Case) -> int:
    keys = c.g.emit("transpose", c.k, axes=(0, 1, 3, 2))
    return c.g.emit("matmul", c.q, keys, transpose_b=False)


@pytest.mark.parametrize("spelling", [plain, scaled, divided, scaled_operands, transposed_keys])
def test_scales_and_movements_become_part_of_it(spelling: Callable[[Case], int]) -> None:
    case = Case()
    weights = softmax(case.g, spelling(case))
    assert checked(case.finish(weights)) == ["attention"]


def test_masks_are_added_in_the_kernel() -> None:
    case = Case()
    g = case.g
    scores = g.emit("add", scaled(case), g.x(N, 1, 1, S, name="padding"))
    scores = g.emit("add", g.const(M, S), scores)
    found = checked(case.finish(softmax(g, scores)))
    assert found.count("attention") == 1
    assert set(found) <= {"attention", "add", "reshape", "transpose"}


@pytest.mark.parametrize("keeps", [True, False])
def test_a_choice_of_scores_is_a_mask(keeps: bool) -> None:
    case = Case()
    g = case.g
    lower = np.tril(np.ones((M, S), np.bool_))
    scores, fill = scaled(case), g.scalar(-np.inf)
    condition = g.constant(lower if keeps else ~lower)
    chosen = g.emit("where", condition, *((scores, fill) if keeps else (fill, scores)))
    assert checked(case.finish(softmax(g, chosen))) == ["attention"]


def test_rows_without_a_key_may_be_zero() -> None:
    case = Case()
    g = case.g
    mask = np.zeros((M, S), np.float32)
    mask[3] = -np.inf
    weights = softmax(g, g.emit("add", case.scores(), g.constant(mask)))
    weights = g.emit("where", g.emit("isnan", weights), g.scalar(0.0), weights)
    graph = case.finish(weights)
    assert checked(graph) == ["attention"]


def test_one_product_for_all_three_is_read_in_place() -> None:
    g = Sketch()
    x = g.x(N, M, 3 * H * D)
    parts = []
    for i in range(3):
        part = {"begin": (0, 0, i * H * D), "steps": (1, 1, 1)}
        parts.append(heads(g, g.emit("slice", x, out=Tensor((N, M, H * D)), **part), M))
    weights = softmax(g, g.emit("matmul", parts[0], parts[1], transpose_b=True))
    graph = g.graph(joined(g, g.emit("matmul", weights, parts[2])))
    assert checked(graph) == ["attention"]


def test_batches_of_rank_three() -> None:
    g = Sketch()
    q, k, v = (g.x(6, rows, D, name=n) for n, rows in (("q", M), ("k", S), ("v", S)))
    weights = g.emit("softmax", g.emit("matmul", q, k, transpose_b=True), axis=2)
    assert checked(g.graph(g.emit("matmul", weights, v))) == ["attention"]


# What must stay as it is.


def test_weights_with_other_readers_stay() -> None:
    case = Case()
    weights = softmax(case.g, case.scores())
    product = case.g.emit("matmul", weights, case.v)
    assert "attention" not in checked(case.g.graph(product, weights))


def test_a_softmax_over_another_axis_stays() -> None:
    case = Case()
    weights = case.g.emit("softmax", case.scores(), axis=2)
    assert "attention" not in checked(case.finish(weights))


def test_a_small_fill_is_not_a_mask() -> None:
    case = Case()
    g = case.g
    condition = g.constant(np.tril(np.ones((M, S), np.bool_)))
    scores = g.emit("where", condition, case.scores(), g.scalar(-1.0))
    assert "attention" not in checked(case.finish(softmax(g, scores)))


def test_a_mask_that_is_scaled_with_the_scores_stays() -> None:
    case = Case()
    g = case.g
    masked = g.emit("add", case.scores(), g.const(M, S))
    scores = g.emit("multiply", masked, g.scalar(0.5))
    assert "attention" not in checked(case.finish(softmax(g, scores)))


def test_one_row_stays() -> None:
    """Generating token by token there is one row, which would leave most lanes empty."""
    g = Sketch()
    q, k, v = (g.x(H, rows, D, name=n) for n, rows in (("q", 1), ("k", S), ("v", S)))
    weights = g.emit("softmax", g.emit("matmul", q, k, transpose_b=True), axis=2)
    assert "attention" not in checked(g.graph(g.emit("matmul", weights, v)))
