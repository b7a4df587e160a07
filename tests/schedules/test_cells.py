"""Choices of open sizes in cells: a split tells them apart as looking at each of them does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from luthier.schedules import ScheduleError, Tensor, Workload
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Condition, Size, at_least, at_most, ceildiv
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ir.workload import node
from luthier.schedules.templates import cells
from luthier.schedules.templates.cells import every
from luthier.schedules.templates.choices import Choices

A, B, C = map(Size.named, "abc")
SYMBOLS = (Symbol("a", 0, 21), Symbol("b", 1, 18), Symbol("c", 2, 9))


def choices(*sizes: Any, symbols: tuple[Symbol, ...] = SYMBOLS) -> Choices:
    """Of a workload of tensors with these sizes."""
    inputs = tuple(Tensor((size,), "float32") for size in sizes)
    nodes = tuple(node("exp", (i,), tensor) for i, tensor in enumerate(inputs))
    return Choices(OpenWorkload(Workload(inputs, (False,) * len(sizes), nodes)), symbols)


CONDITIONS = [
    [Condition(">", A * B, 40)],
    [Condition("<=", A * B - 3 * C, 30), Condition("!=", B, 7)],
    [Condition("==", A % 4, 1), Condition(">=", B, 3)],
    [Condition("<", ceildiv(A + B, 4) * C, 20)],
    [Condition(">=", at_most(A, 5) * at_least(B, 4), 18)],
    [Condition("==", A * C // B, 6)],
    [Condition("==", C // A, 0)],  # where a is 0, too
    [Condition("!=", B % A, 1)],
    [Condition("<", A + B, B + 4), Condition(">", A, B)],
    [Condition("==", A, 30)],
]


@pytest.mark.parametrize("conditions", CONDITIONS, ids=lambda each: " and ".join(map(str, each)))
@pytest.mark.parametrize("sizes", [(A, B, C), (A + B, C)], ids=str)
def test_cells_are_what_each_choice_is(
    conditions: list[Condition], sizes: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = choices(*sizes)
    one_by_one = every(of)
    monkeypatch.setattr(cells, "_MOST_CHOICES", 0)
    in_cells = every(of)
    for ours, others in zip(in_cells.split(conditions), one_by_one.split(conditions), strict=True):
        assert ours.any() == others.any()
        if ours.any():
            product = [
                int(np.prod([n + 1 for n in _totals(of, r.largest())])) for r in (ours, others)
            ]
            assert product[0] == product[1]
            for size in (A, B * C, A * B + C, ceildiv(A, 4), at_most(A * B, 50), 12):
                assert ours.most(size) >= others.most(size)
            assert ours.most(A * B + C) <= in_cells.most(A * B + C)


def _totals(of: Choices, sizes: Any) -> list[int]:
    return [int(total.at(sizes)) for total in of.totals]


def test_many_choices_are_some_cells() -> None:
    """As boxes that are found in many, in two ways, and what is best of them."""
    wide = (Symbol("a", 0, 90_000), Symbol("b", 0, 90_000))
    inside, outside = every(choices(A, B, symbols=wide)).split([Condition(">", A + B, 70_000)])
    assert inside.largest() == {"a": 90_000, "b": 90_000}
    left = outside.largest()
    assert left == {"a": 35_000, "b": 35_000}
    assert outside.most(A) == outside.most(B) == 70_000
    none, _ = outside.split([Condition(">", A + B, 70_000)])
    assert not none.any()


def test_what_no_few_cells_tell_is_refused() -> None:
    wide = (Symbol("a", 1, 4096), Symbol("b", 1, 4096))
    with pytest.raises(
        ScheduleError, match=r"sizes a=1\.\.4096, b=1\.\.4096 have too many choices"
    ):
        every(choices(A, B, symbols=wide)).split([Condition("==", (A * B) % 3, 1)])
