"""Two measurements agree as far as they put schedules in one order."""

from __future__ import annotations

import numpy as np
import pytest

from bench.agreement import clear_pairs, drawn
from bench.pool import SURVEY
from luthier.schedules import Target
from luthier.schedules.templates.registry import spaces


def test_only_pairs_that_differ_count_as_clear():
    first, second = np.array([1.0, 2.0, 3.0, 0.5]), np.array([1.0, 1.01, 2.0, 4.0])
    share, right = clear_pairs(first, second)
    assert share == pytest.approx(5 / 6)  # all but the first two
    assert right == pytest.approx(2 / 5)  # the last one came first
    assert clear_pairs(first, np.ones(4)) == (0, 1)


def test_schedules_are_drawn_from_all_spaces_once_each():
    workload, target = SURVEY["survey_3x3_0"], Target("x86-64-v3", "znver3", 2)
    some = drawn(workload, target)
    assert len(some) == len(set(some)) == 64
    assert {s.template for s in some} == {s.template for s in spaces(workload, target)}
    assert some == drawn(workload, target)
