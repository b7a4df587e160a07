"""Spaces hold what they promise, for every template over workloads of all kinds and sizes."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from caller import TARGETS
from hypothesis import given
from hypothesis import strategies as st
from workloads import Builder, conv, conv_transpose, matmul, pool, unary

from luthier.schedules import Knob, Schedule, ScheduleError, Space, Target, Workload
from luthier.schedules.templates.registry import spaces

SMALL = Space(
    "small",
    3,
    (Knob("rows", (1, 2, 4), "rows"), Knob("order", ("down", "up"), "which way")),
    {"rows": 2, "order": "down"},
    lambda config: (config["rows"], config["order"]) != (4, "up"),
)


def test_iteration_gives_every_valid_schedule_once():
    found = list(SMALL)
    assert len(found) == len(set(found)) == 5 < SMALL.upper_size == 6
    assert [s["rows"] for s in found] == [1, 1, 2, 2, 4]
    assert all(SMALL.schedule(dict(s.knobs)) == s for s in found)


def test_neighbours_differ_in_one_knob():
    around = set(SMALL.neighbours(SMALL.default_schedule()))
    assert {(s["rows"], s["order"]) for s in around} == {(1, "down"), (4, "down"), (2, "up")}


@pytest.mark.parametrize(
    ("config", "rows", "order"),
    [
        ({"rows": 4, "order": "down"}, 4, "down"),
        ({"rows": 1, "order": "up"}, 1, "up"),
        ({"rows": 3, "order": "down"}, 4, "down"),  # by ratio
        ({"rows": 9, "order": "sideways", "tile": 4}, 4, "down"),
        ({"rows": "many"}, 2, "down"),
        ({}, 2, "down"),
        ({"rows": 4, "order": "up"}, 2, "up"),  # these two do not go together
        ({"rows": 10**5000, "order": "up"}, 2, "up"),
        ({"rows": -(10**5000), "order": 5}, 4, "down"),
    ],
)
def test_the_nearest_schedule_keeps_what_it_can(config, rows, order):
    assert SMALL.nearest(config) == SMALL.schedule({"rows": rows, "order": order})


def test_samples_reach_every_schedule():
    rng = random.Random(0)
    assert {SMALL.sample(rng) for _ in range(200)} == set(SMALL)


def test_a_space_with_nothing_else_samples_its_default():
    knob = Knob("n", tuple(range(10_000)), "")
    space = Space("narrow", 1, (knob,), {"n": 7}, lambda config: config["n"] == 7)
    assert space.sample(random.Random(0)) == space.default_schedule()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"has the knobs \['rows', 'order'\]"),
        ({"rows": 1}, r"has the knobs \['rows', 'order'\]"),
        ({"rows": 1, "order": "up", "tile": 4}, r"has the knobs \['rows', 'order'\]"),
        ({"rows": 3, "order": "up"}, r"rows=3 is none of \(1, 2, 4\)"),
        ({"rows": "1", "order": "up"}, r"rows='1' is none of \(1, 2, 4\)"),
        ({"rows": 1, "order": "left"}, "order='left' is none of"),
        ({"rows": 1, "order": 0}, "order=0 is none of"),
        ({"rows": 4, "order": "up"}, "do not go together"),
    ],
)
def test_a_schedule_outside_the_space_is_refused(config, message):
    with pytest.raises(ScheduleError, match=f"small.* {message}"):
        SMALL.schedule(config)


def test_a_schedule_reads_back_from_json():
    schedule = SMALL.default_schedule()
    data = schedule.to_json()
    assert data == {"template": "small", "version": 3, "knobs": {"rows": 2, "order": "down"}}
    assert Schedule.from_json(json.loads(json.dumps(data))) == schedule
    assert str(schedule) == "small@3 rows=2 order=down"
    assert str(Schedule("none", 1, ())) == "none@1"


HOSTILE: list[Any] = [
    None,
    [],
    "small",
    {},
    {"template": None},
    {"template": 3},
    {"version": None},
    {"version": "3"},
    {"version": 3.5},
    {"version": True},
    {"version": float("inf")},
    {"knobs": None},
    {"knobs": []},
    {"knobs": "rows"},
    {"knobs": {"rows": None}},
    {"knobs": {"rows": True}},
    {"knobs": {"rows": 1.0}},
    {"knobs": {"rows": [1]}},
    {"knobs": {"rows": {}}},
]


@pytest.mark.parametrize("change", HOSTILE, ids=repr)
def test_hostile_schedules_are_refused(change):
    good = SMALL.default_schedule().to_json()
    data = {**good, **change} if isinstance(change, dict) and change else change
    with pytest.raises(ScheduleError) as caught:
        Schedule.from_json(data)
    assert "\n" not in str(caught.value)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_schedules_with_any_knobs_read_back(knobs):
    schedule = Schedule("any", 1, tuple(knobs.items()))
    assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))) == schedule


def _size(rng: random.Random, most: int = 2048) -> int:
    return rng.choice([rng.randint(1, 20), 2 ** rng.randint(0, 11), rng.randint(1, most)])


def _window_workload(rng: random.Random) -> Workload:
    kernel, stride, channels = (
        rng.choice([1, 2, 3, 3, 3, 5, 7]),
        rng.choice([1, 1, 2, 4]),
        _size(rng),
    )
    square, strides = (kernel, kernel), (stride, stride)
    pads = tuple(rng.randint(0, 3) for _ in range(4))
    groups = rng.choice([1, 1, 2, 32])
    high, wide = (kernel + rng.randint(0, 230) for _ in range(2))
    x = (rng.choice([1, 1, 8]), high, wide, channels * groups)
    others = _size(rng) * groups
    makers = [
        lambda: conv(x, others, square, strides=strides, pads=pads, groups=groups),
        lambda: conv(x, x[-1], square, strides=strides, pads=pads, groups=x[-1]),
        lambda: conv_transpose(x, others, square, strides=strides, groups=groups),
        lambda: pool("max_pool2d", x, square, strides=strides),
    ]
    return rng.choice(makers)()


def _product_workload(rng: random.Random) -> Workload:
    inner, batch = _size(rng), rng.choice([(), (12,), (2, 3)])
    right = (*rng.choice([(), batch]), inner, _size(rng, 30_000))
    return matmul((*batch, _size(rng), inner), right, constant=rng.random() < 0.5)


def _reduction_workload(rng: random.Random) -> Workload:
    b = Builder()
    shape = tuple(rng.randint(1, 99) for _ in range(rng.randint(1, 4)))
    axis, x = rng.randrange(len(shape)), b.input(shape)
    if rng.random() < 0.5:
        b.add(rng.choice(["softmax", "log_softmax"]), x, axis=axis)
    else:
        kept = tuple(1 if d == axis else n for d, n in enumerate(shape))
        b.add(rng.choice(["sum", "max"]), x, shape=kept, axes=(axis,), keepdims=True)
    return b.workload


def random_workload(rng: random.Random) -> Workload:
    """Sizes from one to those of large models: nothing here is compiled."""
    return rng.choice([_window_workload, _product_workload, _reduction_workload])(rng)


def random_target(rng: random.Random) -> Target:
    level = rng.choice(list(TARGETS))
    l2 = rng.choice([256, 512, 1024, 2048]) << 10
    return Target(level, level, rng.choice([1, 2, 7, 16, 64]), 32 << 10, l2, 16 << 20)


@pytest.mark.parametrize("seed", range(8))
def test_defaults_samples_and_neighbours_are_in_their_space(seed):
    rng = random.Random(seed)
    for _ in range(300):
        workload, target = random_workload(rng), random_target(rng)
        for space in spaces(workload, target):
            for found in (space.default_schedule(), space.sample(rng)):
                assert space.schedule(dict(found.knobs)) == found
                for near in itertools.islice(space.neighbours(found), 3):
                    assert space.schedule(dict(near.knobs)) == near
                    assert sum(a != b for a, b in zip(near.knobs, found.knobs, strict=True)) == 1


@pytest.mark.parametrize("level", TARGETS)
def test_every_choice_of_every_knob_is_in_some_valid_schedule(level):
    """A choice that nothing can use is a trap for a search."""
    workloads = [
        matmul((1, 64), (64, 300)),
        matmul((37, 64), (64, 48)),
        conv((1, 9, 9, 16), 33, (3, 3), pads=(1, 1, 1, 1)),
        conv((1, 9, 9, 40), 40, (3, 3), groups=40),
        unary("relu", (4096,)),
    ]
    for workload in workloads:
        for space in spaces(workload, TARGETS[level]):
            wanted = {(knob.name, choice) for knob in space.knobs for choice in knob.choices}
            rng = random.Random(0)
            for _ in range(20_000):
                if not wanted:
                    break
                wanted -= set(space.sample(rng).knobs)
            assert not wanted, (space.template, workload)


def test_knobs_say_what_they_mean():
    rng = random.Random(1)
    for _ in range(50):
        for space in spaces(random_workload(rng), random_target(rng)):
            for knob in space.knobs:
                assert knob.doc
                assert len(set(knob.choices)) == len(knob.choices) > 0
