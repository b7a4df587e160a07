"""Why a winner won, on made-up timings in which one knob decides."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from luthier.autotune import Sources, Store, explain
from luthier.autotune.records.record import normal
from luthier.schedules import Schedule, Space, Tensor, Workload, node
from luthier.schedules.templates.registry import default, spaces


@pytest.fixture
def space(workload, target) -> Space:
    return spaces(workload, target)[0]


Keep = Callable[..., None]


@pytest.fixture
def keep(workload, make_record) -> Keep:
    """Adds a made-up record to a log."""

    def add(log: Sources, schedule: Schedule, seconds: float, of: Workload = workload) -> None:
        log.add(make_record(seconds=seconds, of=of, schedule=schedule))

    return add


@pytest.fixture
def log(target, space, keep) -> Sources:
    """Sixty schedules; written-out steps decide alone, and the default has not the most."""
    log = Sources(Store.in_memory("log"), (), target)
    rng = random.Random(0)
    for schedule in {space.default_schedule(), *(space.sample(rng) for _ in range(60))}:
        keep(log, schedule, 1e-3 / int(schedule["unroll"]))
    return log


def test_the_knob_that_decides_is_credited(workload, log, space):
    (why,) = explain([workload], log)
    assert why.best.schedule["unroll"] == 8
    assert why.default_seconds == 1e-3 / int(space.default["unroll"])
    assert why.speedup == pytest.approx(8 / int(space.default["unroll"]))
    first = why.credits[0]
    assert "unroll" in first.feature
    assert first.speedup > 1.2
    assert first.best > first.default


def test_knobs_stand_beside_the_defaults(workload, target, log):
    (why,) = explain([workload], log)
    beside = {knob.name: (knob.default, knob.best) for knob in why.knobs}
    usual = default(workload, target)
    assert beside == {k: (v, why.best.schedule[k]) for k, v in normal(usual).knobs}
    assert why.tried > 30


def test_a_winner_of_another_template_says_so(target, keep):
    out = Tensor((1, 14, 14, 32))
    attrs = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "groups": 1}
    inputs = (out, Tensor((32, 3, 3, 32)))
    of = Workload(inputs, (False, True), (node("conv2d", (0, 1), out, **attrs),))
    usual = default(of, target)
    other = next(s for s in spaces(of, target) if s.template != usual.template)
    log = Sources(Store.in_memory("log"), (), target)
    keep(log, other.default_schedule(), 1e-3, of)
    (why,) = explain([of], log)
    assert (why.knobs[0].default, why.knobs[0].best) == (usual.template, other.template)
    assert math.isinf(why.default_seconds)
    assert why.credits == ()


def test_what_did_not_change_is_not_credited(workload, log):
    """However much the trees say of it: the difference then belongs to what changed with it."""
    (why,) = explain([workload], log)
    assert why.credits
    assert all(c.default != c.best for c in why.credits)
    same = {knob.name for knob in why.knobs if knob.default == knob.best}
    assert same
    assert not same & {credit.feature for credit in why.credits}


def test_a_default_that_won_needs_no_reason(workload, target, space, keep):
    log = Sources(Store.in_memory("log"), (), target)
    keep(log, space.default_schedule(), 1e-4)
    rng = random.Random(1)
    for schedule in {space.sample(rng) for _ in range(40)} - {space.default_schedule()}:
        keep(log, schedule, 1e-3)
    (why,) = explain([workload], log)
    assert why.speedup == 1
    assert why.credits == ()


def test_a_kernel_without_records_is_left_out(workload, target):
    assert explain([workload], Sources(Store.in_memory("log"), (), target)) == ()
