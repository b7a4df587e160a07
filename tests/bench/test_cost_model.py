"""Rankings are judged rightly, and no model is asked about what it has learnt from."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bench import cost_model
from bench.cost_model import cross_validated, drawn, quality
from bench.pool import SURVEY, Pool, product
from luthier.autotune.records.record import normal
from luthier.schedules import Target, Workload
from luthier.schedules.templates.registry import spaces

TARGET = Target("x86-64-v4", "x86-64-v4", 2)


def pool(name: str, count: int = 60, workload: Workload | None = None) -> Pool:
    """More sums in the register tile are faster."""
    workload = workload or SURVEY[name]
    (space, *_) = spaces(workload, TARGET)
    rng = random.Random(name)
    some = {normal(space.sample(rng)) for _ in range(count)}
    seconds = {s: 1.0 / (1 + int(s["vectors"])) + 1e-9 * i for i, s in enumerate(some)}
    return Pool(name, workload, TARGET, seconds, frozenset(some))


def test_a_perfect_ranking_and_its_reverse():
    seconds = np.array([3.0, 1.0, 2.0])
    perfect = quality(-seconds, seconds)
    assert (perfect.pairwise, perfect.top1, perfect.top5, perfect.regret) == (1, 1, 1, 0)
    worst = quality(seconds, seconds)
    assert (worst.pairwise, worst.top5) == (0, 1)
    assert worst.top1 == pytest.approx(1 / 3)
    assert worst.regret == pytest.approx(2)


def test_equal_times_say_nothing():
    assert quality(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 1.0])).pairwise == 1


def test_the_tested_kernels_were_not_learnt():
    groups = [drawn(pool(name, 8), 8) for name in list(SURVEY)[:7]]
    asked_of = []

    def model(learnt, asked):
        assert not {g.workload for g in learnt} & {g.workload for g in asked}
        assert len(learnt) + len(asked) == len(groups)
        asked_of.extend(g.workload for g in asked)
        return [-np.array(g.seconds) for g in asked]

    found = cross_validated(model, groups)
    assert sorted(w.key for w in asked_of) == sorted(g.workload.key for g in groups)
    assert all(q.pairwise == 1 for q in found)


def test_luthiers_model_learns_from_other_kernels():
    names = [name for name in SURVEY if "product" in name]
    groups = [drawn(pool(name), 60) for name in names]
    found = cross_validated(cost_model.luthier(cost_model.HyperParameters()), groups)
    assert np.mean([q.pairwise for q in found]) > 0.75  # a fifth of the pairs are as good as equal


def test_tvms_model_gets_its_own_features():
    groups = [drawn(pool("small", workload=product(16, 48, 32)), 3)]
    model = cost_model.TvmModel(groups)
    for features in model._features.values():
        assert features.shape[1] == 164
        assert np.isfinite(features).all()
    assert model.seconds > 0


def test_hyper_parameters_are_listed_the_best_first(monkeypatch):
    monkeypatch.setattr(cost_model, "FOLDS", 2)
    pools = [pool(name, 30) for name in list(SURVEY)[-3:]]
    lines = cost_model.searched(pools, 2)
    assert len(lines) == 3
    assert sum("(in use)" in line[-1] for line in lines) == 1
    sums = [sum(map(float, line[8:11])) for line in lines]
    assert sums == sorted(sums, reverse=True)
