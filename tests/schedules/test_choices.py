"""At which sizes it is looked at what a workload may be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from luthier.schedules import Tensor, Workload
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ir.workload import node
from luthier.schedules.templates.choices import Choices

A, B, C = (Size.named(name) for name in "abc")
SYMBOLS = [Symbol("a", 0, 9), Symbol("b", 2, 7), Symbol("c", 1, 5)]


def least(size: Size, most: int) -> Size:
    return Size("min", size, most)


def of(*sizes: Size) -> OpenWorkload:
    """One that knows no more of sizes than these."""
    shape: tuple[int, ...] = sizes  # type: ignore[assignment]
    return OpenWorkload(Workload((Tensor(shape),), (False,), (node("exp", (0,), Tensor(shape)),)))


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ((A,), 10),
        ((least(A, 4),), 5),
        ((A, least(A, 4)), 10),
        ((A + B,), 15),
        ((least(A, 4) + least(B, 3) + C,), 10),
        ((2 * A + 2 * B + 1, (A + B + 3) // 4), 15),
        ((A + B, A + B + C), 75),
        ((A + 2 * B,), 60),
        ((A + B, A), 60),
        ((A * B,), 60),
        ((least(A + B, 6),), 15),
    ],
)
def test_choices_stand_for_all(sizes: tuple[Size, ...], count: int) -> None:
    choices = Choices(of(*sizes), SYMBOLS)
    assert choices.count == count
    found = zip(
        *(np.broadcast_to(s.at(choices.sizes), choices.shape).flat for s in sizes), strict=True
    )
    ends = itertools.product(*(range(s.least, s.most + 1) for s in SYMBOLS))
    every = {tuple(s.at(dict(zip("abc", at, strict=True))) for s in sizes) for at in ends}
    assert set(found) == every


def test_the_largest_of_some() -> None:
    choices = Choices(of(A + B), SYMBOLS)
    total = np.broadcast_to((A + B).at(choices.sizes), choices.shape)
    largest = choices.largest(total < 8)
    assert largest["a"] + largest["b"] == 7
    assert all(largest[s.name] in s for s in SYMBOLS[:2])
