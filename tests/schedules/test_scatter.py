"""What is written at places that a run decides, against NumPy: of all types, reductions, sizes."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library
from open_workloads import opened
from test_open_kernels import fixed
from workloads import Builder

from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.dtype import ACCEPTED
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ops.evaluate import run
from luthier.schedules.ops.verify import verify
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.templates.registry import default, instantiate

TARGET = TARGETS[RUNNABLE[-1]]
REDUCTIONS = ("update", "add", "mul", "min", "max")
Shape = tuple[int, ...]


def whole(x: Shape, places: Shape, dtype: str, reduction: str) -> Workload:
    b = Builder()
    updates = (*places[:-1], *x[places[-1] :])
    args = b.input(x, dtype), b.input(places, "int64"), b.input(updates, dtype)
    b.add("scatter_nd", *args, shape=x, reduction=reduction)
    return b.workload


def along(x: Shape, places: Shape, axis: int, dtype: str, reduction: str) -> Workload:
    b = Builder()
    args = b.input(x, dtype), b.input(places, "int64"), b.input(places, dtype)
    b.add("scatter_along", *args, shape=x, axis=axis, reduction=reduction)
    return b.workload


def workloads(dtype: str) -> list[Workload]:
    names = itertools.cycle(REDUCTIONS if dtype not in ("bool", "float16") else ("update",))
    return [
        whole((6, 5), (4, 1), dtype, next(names)),
        whole((3, 4, 700), (2, 3, 2), dtype, next(names)),
        whole((40,), (70, 1), dtype, next(names)),
        whole((2, 3, 4), (5, 3), dtype, next(names)),
        along((6, 5), (9, 5), 0, dtype, next(names)),
        along((3, 40, 7), (2, 30, 6), 1, dtype, next(names)),
        along((300, 8), (300, 3), 1, dtype, next(names)),
        along((50,), (20,), 0, dtype, next(names)),
    ]


def drawn(workload: Workload, seed: int) -> list[np.ndarray]:
    """Numbers whose sums and products are exact; places meet, and some are outside."""
    rng = np.random.default_rng(seed)
    dtype = workload.output.element.numpy
    x, places, updates = (t.shape for t in workload.inputs)
    numbers = (rng.choice([0, 1, 2, 3], shape).astype(dtype) for shape in (x, updates))
    data, new = numbers
    if data.dtype.kind == "f":
        data[(0,) * data.ndim] = np.nan
        new[(0,) * new.ndim] = -np.inf
    return [data, rng.integers(-2, max(x) + 2, places), new]


@pytest.mark.parametrize("dtype", ACCEPTED)
def test_it_is_what_numpy_says(dtype: str) -> None:
    made = workloads(dtype)
    library = Library([instantiate(w, TARGET, default(w, TARGET)) for w in made], TARGET)
    for index, workload in enumerate(made):
        inputs = drawn(workload, index)
        got = library.run(index, inputs, random.Random(index))
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(got, run(workload, inputs), str(workload))


def test_open_sizes() -> None:
    def make(b: int, n: int) -> Workload:
        return whole((n, 9), (b, 1), "float32", "add")

    symbols = [Symbol("b", 1, 40), Symbol("n", 1, 200)]
    kernel = instantiate_open(opened(make, ["b", "n"]), symbols, TARGET, names=("b", "n"))
    for b, n in itertools.product((1, 40), (1, 7, 200)):
        sizes = {"b": b, "n": n}
        number = next(i for i, a in enumerate(kernel.alternatives) if a.fits(sizes))
        library = Library([a.kernel for a in kernel.alternatives], TARGET)
        library.kernels[number] = fixed(kernel, number, sizes)
        inputs = drawn(make(b, n), b + n)
        got = library.run(number, inputs, random.Random(1), np.array([b, n], np.int64))
        np.testing.assert_array_equal(got, run(make(b, n), inputs))


WRONG = [
    ("scatter_nd", Tensor((4, 1), "int64"), Tensor((4, 6)), {}),
    ("scatter_nd", Tensor((4, 3), "int64"), Tensor((4,)), {}),
    ("scatter_nd", Tensor((4, 1), "int64"), Tensor((4, 5), "int32"), {}),
    ("scatter_along", Tensor((4, 5), "int64"), Tensor((4, 4)), {"axis": 0}),
    ("scatter_along", Tensor((4, 5), "int64"), Tensor((4, 5)), {"axis": 2}),
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_strangers_may_say_is_verified(wrong) -> None:
    op, places, updates, attrs = wrong
    x = Tensor((6, 5))
    made = node(op, (0, 1, 2), x, reduction="add", **attrs)
    with pytest.raises(IRError):
        verify(Workload((x, places, updates), (False,) * 3, (made,)))
