"""All points of the sweep: those that are always there, and some that nobody chose."""

from __future__ import annotations

import random
from collections.abc import Sequence

from bench.sweep import (
    convolutions,
    element_types,
    few_bits,
    movement,
    pictures,
    pointwise,
    products,
    rows,
    searches,
    sequences,
    whole_products,
)
from bench.sweep.point import Point

_KINDS = (
    products,
    few_bits,
    convolutions,
    rows,
    movement,
    pointwise,
    sequences,
    whole_products,
    element_types,
    searches,
    pictures,
)
_SHORT = 8  # the short form takes one of so many


def fixed() -> list[Point]:
    """Those that are always there."""
    return [point for kind in _KINDS for point in kind.grid()]


def points(seed: int, *, short: bool = False) -> Sequence[Point]:
    """Each kind's grid, and a tenth as many drawn from ``seed``; the short form begins elsewhere
    with another seed."""
    rng = random.Random(seed)
    found: list[Point] = []
    for kind in _KINDS:
        grid = list(kind.grid())
        if short:
            grid = grid[rng.randrange(_SHORT) :: _SHORT]
        found += grid
        found += [kind.drawn(rng) for _ in range(max(1, len(grid) // 10))]
    return list({(point.family, point.name): point for point in found}.values())


def drawn(seed: int, each: int) -> list[Point]:
    """So many of each kind, none of which anybody chose."""
    rng = random.Random(seed)
    found = [kind.drawn(rng) for kind in _KINDS for _ in range(each)]
    return list({(point.family, point.name): point for point in found}.values())
