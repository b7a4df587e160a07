"""What ``target.ACCURACIES`` promises of convolutions, on random data of either sign."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, magnitude, reference, schedules
from workloads import conv

from luthier.schedules import Schedule, Workload
from luthier.schedules.target import ACCURACIES
from luthier.schedules.templates.registry import instantiate, spaces

Array = np.ndarray


def images(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Of both signs, or rectified, or ten times as large in some channels."""
    x = rng.standard_normal(shape)
    spread = np.where(rng.random(shape[-1]) < 0.2, 10, 1)
    made = rng.choice(np.stack([x, np.maximum(x, 0), x * spread]))
    return made.astype(np.float32)


def random_case(seed: int, kernel: tuple[int, int] = (3, 3)) -> tuple[Workload, list[Array]]:
    rng = np.random.default_rng(seed)
    channels = int(rng.choice([1, 3, 16, 64, 256]))
    size = int(rng.integers(6, 15))
    pads = tuple(taps // 2 for taps in kernel) * 2
    workload = conv((1, size, size + 1, channels), int(rng.integers(1, 40)), kernel, pads=pads)
    weights = rng.standard_normal(workload.inputs[1].shape).astype(np.float32)
    return workload, [images(rng, workload.inputs[0].shape), weights]


def errors(
    workload: Workload, inputs: list[Array], accuracy: str, level: str
) -> dict[Schedule, Array]:
    """Absolute errors of the default schedules and of some others."""
    target = replace(TARGETS[level], accuracy=accuracy)
    chosen = list(schedules(workload, target, 2))
    library = Library([instantiate(workload, target, s) for s in chosen], target)
    want = reference(workload, inputs)
    runs = (library.run(i, inputs, random.Random(i)) for i in range(len(chosen)))
    return {s: np.abs(got - want) for s, got in zip(chosen, runs, strict=True)}


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("seed", range(4))
def test_strict_bounds_the_error_of_each_element_by_what_it_adds_up(seed, level):
    workload, inputs = random_case(seed)
    total = magnitude(workload, inputs)
    terms = 9 * workload.inputs[0].shape[3]
    for schedule, error in errors(workload, inputs, "strict", level).items():
        assert (error <= terms * 2.0**-24 * total).all(), schedule
        assert (error <= 5e-7 * total).all(), schedule


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("accuracy", "share"), [("balanced", 5e-7), ("standard", 5e-6)])
def test_the_others_by_the_most_that_any_element_adds_up(accuracy, share, seed, level):
    workload, inputs = random_case(seed)
    most = np.max(magnitude(workload, inputs))
    for schedule, error in errors(workload, inputs, accuracy, level).items():
        assert error.max() <= share * most, schedule


@pytest.mark.parametrize(
    ("accuracy", "kernel"),
    [("balanced", (1, 3)), *(("standard", k) for k in [(5, 5), (7, 7), (1, 3), (5, 1), (1, 7)])],
)
def test_of_other_kernels_too(accuracy, kernel):
    workload, inputs = random_case(sum(kernel), kernel)
    most = np.max(magnitude(workload, inputs))
    found = errors(workload, inputs, accuracy, RUNNABLE[-1])
    assert any(schedule.template.startswith("winograd") for schedule in found)
    for schedule, error in found.items():
        assert error.max() <= {"balanced": 5e-7, "standard": 5e-6}[accuracy] * most, schedule


@pytest.mark.parametrize("level", TARGETS)
def test_tile_sizes_of_winograd_s_algorithm(level):
    workload, _ = random_case(1)
    found = []
    for accuracy in ACCURACIES:
        offered = spaces(workload, replace(TARGETS[level], accuracy=accuracy))
        found.append([k.choices for s in offered for k in s.knobs if k.name == "m"])
    assert found == [[], [(2,)], [(2, 4)], [(2, 4)]]


@pytest.mark.parametrize("level", TARGETS)
def test_the_default_of_a_tighter_accuracy_is_in_the_space_of_a_looser_one(level):
    workload, _ = random_case(1)
    each = [spaces(workload, replace(TARGETS[level], accuracy=a)) for a in ACCURACIES]
    for tight, loose in pairwise(each):
        by_name = {space.template: space for space in loose}
        for schedule in (space.default_schedule() for space in tight):
            assert by_name[schedule.template].schedule(dict(schedule.knobs)) == schedule


def test_the_bounds_are_no_wider_than_needed():
    """Large tiles are beyond what ``balanced`` promises: the levels differ."""
    workload, inputs = random_case(1)
    most = np.max(magnitude(workload, inputs))
    loose = errors(workload, inputs, "standard", RUNNABLE[-1])
    worst = max(e.max() for s, e in loose.items() if s.template == "winograd" and s["m"] == 4)
    assert worst > 5e-7 * most
