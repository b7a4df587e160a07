"""Which constants of programs of two sizes stand for each other."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.frontend.program import Call, Program
from luthier.frontend.sizes.alignment import Alignment
from luthier.frontend.sizes.keys import Keys
from luthier.schedules import Tensor, Workload
from luthier.schedules.ir.workload import node

_ONE = Tensor((1,), "int64")


def sums(order: tuple[str, ...], numbers: dict[str, int]) -> Program:
    """A sum of ``x`` and a constant for each name, made in an order; constants may be views."""
    names = sorted(order)
    places = {name: 1 + i for i, name in enumerate(order)}
    views = {4 + i: places[name] for i, name in enumerate(names)}
    steps = tuple(
        Call(
            Workload(
                (_ONE, _ONE), (False, False), (node("add", (0, 1), _ONE),)
            ),
            (0, 4 + i if name == "b" else places[name]),
            7 + i,
            f"Add '{name}'",
        )
        for i, name in enumerate(names)
    )  # fmt: skip
    return Program(
        "sums",
        (_ONE,) * 10,
        (("x", 0),),
        tuple((name, 7 + i) for i, name in enumerate(names)),
        {places[name]: np.array([numbers[name]]) for name in names},
        views,
        steps,
    )


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
def test_constants_of_few_numbers_are_told_by_what_reads_them(order: tuple[str, ...]) -> None:
    base = sums(("a", "b", "c"), {"a": 3, "b": 7, "c": 9})
    other = sums(order, {"a": 4, "b": 9, "c": 3})
    aligned = Alignment(Keys(base), Keys(other))
    for i, call in enumerate(base.calls):
        assert aligned.call(call) is other.calls[i]


def rows(first: int, second: int) -> Program:
    """What two constants of zeros are made into, as long as was found."""
    types = [Tensor((n, 1)) for n in (first, second)]
    steps = tuple(
        Call(Workload((x,), (False,), (node("negative", (0,), x),)), (i,), 2 + i, f"Neg '{i}'")
        for i, x in enumerate(types)
    )
    zeros = {i: np.zeros(x.shape, np.float32) for i, x in enumerate(types)}
    return Program("rows", (*types, *types), (), (("a", 2), ("b", 3)), zeros, {}, steps)


def test_one_may_have_the_elements_that_another_has_for_other_sizes() -> None:
    base, other = rows(30, 8), rows(8, 2)
    aligned = Alignment(Keys(base), Keys(other))
    assert [aligned.at[value] for value in base.constants] == list(other.constants)
