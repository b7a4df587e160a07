"""Products of few rows with a matrix in columns: any sizes, batches, what follows, and NaN."""

from __future__ import annotations

import random

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, draw, in_turn, verify
from workloads import matmul

from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.templates.registry import forms

DOTS = {"template": "dots", "relative": 1e-5, "absolute": 2e-5}


@pytest.mark.parametrize(("seed", "level"), in_turn(range(10)))
def test_any_sizes(seed, level):
    rng = random.Random(seed)
    rows = rng.randint(1, TARGETS[level].lanes(FLOAT32) // 2)
    n, k = rng.randint(1, 90), 4 * rng.randint(1, 30)
    after = rng.choice(["nothing", "bias", "bias_relu"])
    constant = rng.random() < 0.5
    workload = matmul((rows, k), (n, k), transpose_b=True, constant=constant, after=after)
    verify(workload, level, **DOTS)


@pytest.mark.parametrize(
    ("rows", "batch"),
    [((1, 2, 1), ()), ((1, 2, 1), (1,)), ((2, 3, 1), (3,)), ((2, 3, 2), (2, 1))],
)
def test_batches(rows, batch):
    workload = matmul((*rows, 32), (*batch, 19, 32), transpose_b=True, constant=False)
    verify(workload, RUNNABLE[-1], **DOTS)


@pytest.mark.parametrize("level", RUNNABLE)
def test_nan_and_infinity_stay_in_their_column(level):
    workload = matmul((1, 16), (21, 16), transpose_b=True, constant=False)
    a, b = draw(workload)
    b[3, 5], b[20, 0], b[11, 15] = np.nan, np.inf, -np.inf
    verify(workload, level, inputs=[a, b], **DOTS)


@pytest.mark.parametrize(
    ("rows", "depth", "constant", "names"),
    [
        (1, 32, False, ["dots", "gemm"]),  # which would pack B for one row
        (8, 256, False, ["dots", "gemm"]),
        (8, 32, False, ["gemm", "dots"]),  # adding up lanes takes longer than packing
        (9, 256, False, ["gemm"]),
        (1, 32, True, ["gemm", "dots"]),
    ],
)
def test_it_is_the_default_where_b_could_not_be_packed_before(rows, depth, constant, names):
    workload = matmul((rows, depth), (100, depth), transpose_b=True, constant=constant)
    assert [f.name for f in forms(workload, TARGETS["x86-64-v4"])][:2] == names


@pytest.mark.parametrize("k", [30, 31, 1])
def test_a_depth_of_no_whole_vectors_is_for_others(k):
    workload = matmul((1, k), (100, k), transpose_b=True, constant=False)
    assert "dots" not in [f.name for f in forms(workload, TARGETS["x86-64-v4"])]
