"""Determinants and probabilities that go through whole matrices, against NumPy."""

from __future__ import annotations

import random

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library
from open_workloads import opened
from test_open_kernels import fixed
from workloads import Builder

from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ops.evaluate import run
from luthier.schedules.ops.verify import verify
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.templates.registry import default, instantiate

TARGET = TARGETS[RUNNABLE[-1]]


def determinant(count: int, rows: int, dtype: str = "float32") -> Workload:
    b = Builder()
    b.add("determinant", b.input((count, rows, rows), dtype), shape=(count,), dtype=dtype)
    return b.workload


def coupling(rows: int, classes: int) -> Workload:
    b = Builder()
    b.add("coupling", b.input((rows, classes * (classes - 1) // 2)), shape=(rows, classes))
    return b.workload


def library(*workloads: Workload) -> Library:
    return Library([instantiate(w, TARGET, default(w, TARGET)) for w in workloads], TARGET)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_determinants(dtype: str) -> None:
    sizes = [(1, 2), (50, 3), (7, 5), (2, 33), (1, 64)]
    made = library(*(determinant(*size, dtype) for size in sizes))
    rng = np.random.default_rng(0)
    for index, (count, rows) in enumerate(sizes):
        x = (rng.standard_normal((count, rows, rows)) / np.sqrt(rows)).astype(dtype)
        x[0, 0, 0] = 0  # so that rows are swapped
        got = made.run(index, [x], random.Random(index))
        near = 1e-4 if dtype == "float32" else 1e-10
        np.testing.assert_allclose(got, np.linalg.det(x.astype("float64")), near, near * 1e-3)


def test_matrices_that_are_singular_or_have_no_numbers() -> None:
    x = np.stack(
        [
            np.ones((3, 3)),
            np.zeros((3, 3)),
            np.diag([1, np.nan, 2]),
            np.diag([np.inf, 1, 1]),
            np.eye(3)[[1, 0, 2]],
            np.diag([-0.0, 1, 1]),
        ]
    ).astype(np.float32)
    got = library(determinant(6, 3)).run(0, [x], random.Random(0))
    np.testing.assert_array_equal(got, [0, 0, np.nan, np.inf, -1, 0])


def test_probabilities_are_coupled() -> None:
    sizes = [(1, 3), (40, 4), (200, 2), (3, 12)]
    made = library(*(coupling(*size) for size in sizes))
    rng = np.random.default_rng(1)
    for index, (rows, classes) in enumerate(sizes):
        x = rng.uniform(1e-7, 1 - 1e-7, (rows, classes * (classes - 1) // 2)).astype(np.float32)
        x[0] = np.nan if index == 1 else x[0]  # of which all classes are alike
        got = made.run(index, [x], random.Random(index))
        np.testing.assert_allclose(got, run(coupling(rows, classes), [x]), 2e-4, 1e-5)
        np.testing.assert_allclose(got.sum(axis=1), 1, 1e-4)


def test_open_numbers_of_matrices_and_rows() -> None:
    def make(b: int) -> Workload:
        return determinant(b, 4)

    kernel = instantiate_open(opened(make, ["b"]), [Symbol("b", 1, 40)], TARGET, names=("b",))
    for b in (1, 7, 40):
        number = next(i for i, a in enumerate(kernel.alternatives) if a.fits({"b": b}))
        made = Library([a.kernel for a in kernel.alternatives], TARGET)
        made.kernels[number] = fixed(kernel, number, {"b": b})
        x = np.random.default_rng(b).standard_normal((b, 4, 4)).astype(np.float32)
        got = made.run(number, [x], random.Random(1), np.array([b], np.int64))
        np.testing.assert_allclose(got, np.linalg.det(x), 1e-4, 1e-5)


WRONG = [
    ("determinant", (2, 3, 4), (2,)),
    ("determinant", (2, 5000, 5000), (2,)),
    ("coupling", (3, 4), (3, 3)),
]


@pytest.mark.parametrize(("op", "shape", "out"), WRONG)
def test_what_strangers_may_say_is_verified(
    op: str, shape: tuple[int, ...], out: tuple[int, ...]
) -> None:
    made = node(op, (0,), Tensor(out))
    with pytest.raises(IRError):
        verify(Workload((Tensor(shape),), (False,), (made,)))
