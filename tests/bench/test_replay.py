"""Searches on a pool with made-up times: their proposals, and how they are judged."""

from __future__ import annotations

import math
import random

import pytest

from bench import pool, replay
from bench.pool import KERNELS, Pool
from luthier.autotune.records.record import normal
from luthier.schedules import Schedule, Target
from luthier.schedules.templates.registry import spaces

TARGET = Target("x86-64-v3", "znver3", 2, 32768, 524288, 33554432)


def seconds(schedule: Schedule) -> float:
    """Faster the more is written out and the more vectors there are; some crash."""
    if schedule["rows"] == 1:
        return math.inf
    return 1e-3 / (int(schedule["unroll"]) * int(schedule["vectors"])) + 1e-6 * int(
        schedule["rows"]
    )


@pytest.fixture
def made_up(tmp_path, monkeypatch) -> Pool:
    monkeypatch.setattr(pool, "FOLDER", tmp_path / "pools")
    workload = KERNELS["product_small"]
    (space,) = spaces(workload, TARGET)
    rng = random.Random(0)
    drawn = {
        normal(s) for s in (space.default_schedule(), *(space.sample(rng) for _ in range(300)))
    }
    return Pool(
        "made_up", workload, TARGET, {normal(s): seconds(s) for s in drawn}, frozenset(drawn)
    )


def test_a_pool_is_read_as_it_was_written(made_up):
    made_up.write()
    assert pool.names() == ["made_up"]
    again = pool.read("made_up")
    assert (again.workload, again.target) == (made_up.workload, made_up.target)
    assert again.seconds == pytest.approx(made_up.seconds, rel=1e-4)
    assert again.drawn == made_up.drawn


@pytest.mark.parametrize("name", replay.SEARCHES)
def test_every_search_begins_with_the_default_and_finds_the_best_in_the_end(made_up, name):
    search = replay.SEARCHES[name]
    shares = replay.curve(search, made_up, [], len(made_up.seconds), seed=0)
    assert shares[0] == made_up.best / made_up.seconds[made_up.default]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_learnt_ranking_beats_chance(made_up):
    trials, seeds = 40, range(3)
    means = {
        name: sum(
            replay.curve(replay.SEARCHES[name], made_up, [], trials, seed)[-1] for seed in seeds
        )
        for name in ("random", "Luthier, cold")
    }
    assert means["Luthier, cold"] > means["random"]


def test_neighbours_differ_in_one_knob(made_up):
    for other in replay.neighbours(made_up, made_up.default):
        changed = [k for k, v in other.knobs if v != made_up.default[k]]
        assert len(changed) == 1


def test_the_table_has_a_median_and_the_least():
    curves = [
        replay.Curve("random", "one", (0.5,) * 128),
        replay.Curve("random", "two", (0.7,) * 128),
    ]
    assert replay.table(curves).splitlines()[2].startswith("| random | 60.0% (50.0%) |")


def test_a_pool_grows_by_fresh_schedules():
    workload = KERNELS["product_small"]
    found = spaces(workload, TARGET)
    known = {normal(s.default_schedule()): 1e-3 for s in found}
    fresh = pool._fresh(found, known, random.Random(0), 20, 0.5)
    assert len({normal(s) for s, _ in fresh} - known.keys()) == 20
