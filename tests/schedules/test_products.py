"""Matrix products and 1x1 convolutions at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, draw, verify
from workloads import conv, matmul

from luthier.schedules.templates.gemm.form import product
from luthier.schedules.templates.registry import spaces

CASES = {
    "one number": matmul((1, 1), (1, 1)),
    "one row": matmul((1, 70), (70, 131), after="bias_relu"),
    "one row that is not packed": matmul((1, 33), (33, 67), constant=False),
    "one column": matmul((19, 40), (40, 1), after="gelu"),
    "one step": matmul((9, 1), (1, 35), after="swish"),
    "a prime of everything": matmul((13, 37), (37, 53), after="scaled"),
    "columns of B as they lie": matmul((5, 31), (47, 31), transpose_b=True, constant=False),
    "packed columns of B": matmul((5, 31), (47, 31), transpose_b=True, after="clip"),
    "one B for a batch": matmul((2, 3, 4, 9), (9, 21), after="residual"),
    "one B of a batch of one": matmul((2, 3, 4, 9), (1, 1, 9, 21), after="bias"),
    "a B for each": matmul((4, 5, 9), (4, 9, 21), constant=False, after="scaled"),
    "a constant B for each": matmul((4, 5, 9), (4, 9, 21), after="scaled"),
    "one A for all": matmul((7, 9), (3, 9, 18), constant=False),
    "both broadcast": matmul((2, 1, 5, 8), (3, 8, 19), constant=False, after="gelu"),
    "transposed ones broadcast": matmul(
        (2, 1, 5, 8), (2, 3, 19, 8), transpose_b=True, constant=False
    ),
    "few rows by long ones": matmul((2, 300), (300, 701), constant=False),
    "panels that are copied": matmul((53, 130), (130, 1024), constant=False, after="bias"),
    "a pointwise convolution": conv((2, 5, 7, 9), 34, (1, 1), after="residual"),
    "one of one channel": conv((1, 6, 5, 1), 1, (1, 1), after="gelu"),
}


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("name", CASES)
def test_edges(name, level):
    verify(CASES[name], level, template="gemm")


@pytest.mark.parametrize("level", TARGETS)
def test_a_row_leaves_registers_for_what_it_loads(level):
    """Wide, and of one row: as many accumulators as vectors of B, and all must fit."""
    for columns in range(1, 600, 7):
        for space in spaces(matmul((1, 64), (64, columns)), TARGETS[level]):
            assert space.default_schedule()


def test_only_constants_are_packed():
    assert product(matmul((4, 8), (8, 2))).packed
    assert not product(matmul((4, 8), (8, 2), constant=False)).packed


@pytest.mark.parametrize("level", RUNNABLE)
def test_nan_and_infinity_come_through(level):
    workload = matmul((4, 30), (30, 37), constant=False)
    a, b = draw(workload)
    a[1, 3], a[2, 5], b[5, ::2] = np.nan, np.inf, 0.0
    b[7, 9] = -np.inf
    verify(workload, level, inputs=[a, b], samples=1)
