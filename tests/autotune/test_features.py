"""What the cost model sees of a candidate."""

from __future__ import annotations

import random

import numpy as np
import pytest

from luthier.autotune.search.features import BESIDE, schedule_columns
from luthier.schedules import Schedule, ScheduleError
from luthier.schedules.templates.registry import default, spaces


def test_the_default_has_nothing_beyond_itself(workload, target):
    table = schedule_columns(workload, target, [default(workload, target)])
    beside = {name: column for name, column in table.items() if name.endswith(BESIDE)}
    assert beside
    assert all(column == [0] for column in beside.values())


def test_what_is_beside_the_default_is_the_difference(workload, target):
    (space, *_) = spaces(workload, target)
    rng = random.Random(0)
    table = schedule_columns(workload, target, [space.sample(rng) for _ in range(20)])
    usual = schedule_columns(workload, target, [default(workload, target)])
    for name in [name for name in table if name.endswith(BESIDE)]:
        own = name.removesuffix(BESIDE)
        np.testing.assert_allclose(table[name], table[own] - usual[own], atol=1e-5)


def test_all_columns_are_finite_and_one_number_a_candidate(workload, target):
    for space in spaces(workload, target):
        some = [space.sample(random.Random(i)) for i in range(50)]
        for column in schedule_columns(workload, target, some).values():
            assert column.shape == (50,)
            assert np.isfinite(column).all()


def test_there_must_be_such_a_template(workload, target):
    with pytest.raises(ScheduleError):
        schedule_columns(workload, target, [Schedule("fake", 1, (("number", 1),))])
