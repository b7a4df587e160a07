"""Group and instance normalisation of any shape, with any epilogue, in one phase and in two."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, draw, verify
from workloads import EPILOGUES, Builder, group_norm

from luthier.schedules.templates.registry import default, instantiate, spaces

TOLERANCE = {"relative": 1e-5, "absolute": 4e-6}


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("seed", range(12))
def test_random_shapes_groups_and_epilogues(seed, level):
    rng = random.Random(seed)
    groups, depth = rng.choice([1, 2, 3, 5, 8, 32]), rng.choice([1, 1, 2, 3, 4, 7, 10, 17])
    spatial = tuple(rng.randint(1, 9) for _ in range(rng.randint(1, 3)))
    shape = (rng.randint(1, 3), *spatial, groups * depth)
    workload = group_norm(shape, groups, rng.choice(list(EPILOGUES)))
    verify(workload, level, samples=3, template="group_norm", **TOLERANCE)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize(("shape", "groups"), [((2, 3), 1), ((1, 1), 1), ((2, 1, 64), 64)])
def test_few_elements(shape, groups, level):
    """One place alone: with a group a channel, what is left is the shift."""
    verify(group_norm(shape, groups), level, samples=3, **TOLERANCE)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("groups", [1, 4, 20])
def test_a_small_spread_around_a_large_mean_does_not_cancel(groups, level):
    """The mean of squares less the square of the mean would be noise."""
    workload = group_norm((2, 13, 11, 20), groups)
    x, gamma, beta = draw(workload)
    offsets = np.linspace(-1000, 1000, 4, dtype=np.float32)[np.arange(groups) % 4]
    inputs = [x + offsets.repeat(20 // groups), gamma, beta]
    verify(workload, level, inputs=inputs, samples=4, absolute=3e-4)


@pytest.mark.parametrize("level", RUNNABLE)
def test_means_are_right_over_a_hundred_thousand_places(level):
    """A plain sum of that many positive numbers would show its rounding errors."""
    workload = group_norm((1, 300, 350, 3), 3)
    x, gamma, beta = draw(workload)
    verify(workload, level, inputs=[x + np.float32(100), gamma, beta], samples=2, absolute=5e-5)


@pytest.mark.parametrize("level", RUNNABLE)
def test_a_constant_group_gives_its_shift(level):
    workload = group_norm((1, 5, 6, 8), 2)
    x, gamma, beta = draw(workload)
    x[...] = 7
    verify(workload, level, inputs=[x, gamma, beta])


@pytest.mark.parametrize("level", RUNNABLE)
def test_parameters_may_be_known_at_run_time_alone(level):
    b = Builder()
    x, gamma, beta = b.input((2, 4, 6)), b.input((6,)), b.input((6,))
    b.add("group_norm", x, gamma, beta, shape=(2, 4, 6), groups=2, epsilon=0.1)
    verify(b.workload, level, **TOLERANCE)


@pytest.mark.parametrize(
    ("shape", "groups", "phases"),
    [
        ((1, 64, 64, 320), 32, 1),
        ((1, 56, 56, 64), 1, 2),
        ((8, 14, 14, 64), 1, 1),
        ((1, 256, 256, 64), 64, 2),
        ((1, 7, 7, 64), 1, 1),
    ],
)
def test_a_second_phase_where_there_are_few_groups_or_they_are_large(shape, groups, phases):
    """For two threads, and 512 KiB of second-level cache."""
    target, workload = TARGETS["x86-64-v4"], group_norm(shape, groups)
    kernel = instantiate(workload, target, default(workload, target))
    assert len(kernel.phases) == phases
    alone = replace(target, threads=1)
    assert len(instantiate(workload, alone, default(workload, alone)).phases) <= phases


def test_only_float32_and_an_epilogue_fit():
    b = Builder()
    x, gamma, beta = b.input((2, 4, 6)), b.input((6,)), b.input((6,))
    y = b.add("group_norm", b.add("relu", x), gamma, beta, shape=(2, 4, 6), groups=2, epsilon=0.1)
    b.add("relu", y)
    with pytest.raises(Exception, match="no template computes"):
        spaces(b.workload, TARGETS["x86-64-v3"])
