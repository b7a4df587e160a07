"""Defaults beside the best of their spaces: which kernels are searched, and what the table says."""

from __future__ import annotations

import random
from dataclasses import replace

from bench import defaults
from bench.defaults import Found
from bench.pool import explored, product
from bench.sweep.grid import drawn
from bench.sweep.point import Point, floats
from luthier.autotune.measure.measurer import Measurer
from luthier.autotune.records.record import normal
from luthier.schedules.target import host
from luthier.schedules.templates.registry import default

POINT = Point("product", "small", "y = MatMul (a, b)", {"a": floats(3, 4)}, {"b": (4, 16)})
FOUND = Found("product", "small", "key", 9, default=1.2e-6, best=1e-6, schedules=("a", "b"))


def test_points_are_drawn_by_their_seed() -> None:
    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(2, 2)


def test_a_product_has_a_choice() -> None:
    assert len(defaults.kernels(POINT, host(1))) == 1


def test_a_search_starts_at_the_default_and_measures_each_schedule_once() -> None:
    workload, target = product(3, 16, 4), host(1)
    with Measurer(target, cold=False) as measurer:
        states = explored(workload, 3, measurer, random.Random(0), 1.0, set())
        sizes = [list(state) for state in states]
    assert sizes[0] == [normal(default(workload, target))]
    assert len(sizes[-1]) == 3


def test_a_default_that_nothing_beats_counts_one() -> None:
    assert replace(FOUND, best=2e-6).ratio == 1


def test_the_table_counts_what_is_within_a_tenth() -> None:
    text = defaults.table([FOUND, replace(FOUND, default=1.05e-6)])
    assert "| product | 2 | 50% | 1.12 | 1.20 |" in text
