"""Sums and products of all that comes before, against NumPy: of all types, sizes and directions."""

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
NUMBERS = [d for d in ACCEPTED if d not in ("bool", "float16")]


def scan(
    op: str,
    shape: tuple[int, ...],
    axis: int,
    dtype: str = "float32",
    *,
    exclusive: bool = False,
    reverse: bool = False,
) -> Workload:
    b = Builder()
    b.add(op, b.input(shape, dtype), axis=axis, exclusive=exclusive, reverse=reverse)
    return b.workload


def drawn(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Whole numbers wrap; floats are those whose sums and products are exact."""
    rng = np.random.default_rng(seed)
    if dtype.startswith("float"):
        rare = rng.random(shape) < 0.01
        return np.where(rare, rng.choice([-2, 0.5], shape), rng.choice([-1, 1], shape)).astype(
            dtype
        )
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("op", ["cumsum", "cumprod"])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_it_is_what_numpy_says(op: str, dtype: str) -> None:
    shapes = [((1,), 0), ((70,), 0), ((3, 300), 1), ((40, 30), 0), ((2, 9, 5), 1), ((1, 3000), 1),
              ((2, 33000), 1)]  # fmt: skip
    ways = itertools.cycle(itertools.product((False, True), repeat=2))
    workloads = [
        scan(op, shape, axis, dtype, exclusive=e, reverse=r)
        for (shape, axis), (e, r) in zip(shapes * 2, ways, strict=False)
    ]
    kernels = [instantiate(w, TARGET, default(w, TARGET)) for w in workloads]
    library = Library(kernels, TARGET)
    for index, workload in enumerate(workloads):
        x = drawn(workload.inputs[0].shape, dtype, index)
        with np.errstate(over="ignore"):
            want = run(workload, [x])
        np.testing.assert_array_equal(library.run(index, [x], random.Random(index)), want)


def test_open_lengths_and_numbers_of_rows() -> None:
    def make(b: int, n: int) -> Workload:
        return scan("cumsum", (b, n, 3), 1, "int32", reverse=True)

    symbols = [Symbol("b", 1, 40), Symbol("n", 1, 200)]
    kernel = instantiate_open(opened(make, ["b", "n"]), symbols, TARGET, names=("b", "n"))
    for b, n in itertools.product((1, 40), (1, 7, 200)):
        sizes = {"b": b, "n": n}
        number = next(i for i, a in enumerate(kernel.alternatives) if a.fits(sizes))
        library = Library([a.kernel for a in kernel.alternatives], TARGET)
        library.kernels[number] = fixed(kernel, number, sizes)
        x = drawn((b, n, 3), "int32", b + n)
        got = library.run(number, [x], random.Random(1), np.array([b, n], np.int64))
        np.testing.assert_array_equal(got, run(make(b, n), [x]))


@pytest.mark.parametrize("axis", [-1, 1])
def test_what_strangers_may_say_is_verified(axis: int) -> None:
    x = Tensor((5,))
    made = node("cumsum", (0,), x, axis=axis, exclusive=False, reverse=False)
    with pytest.raises(IRError):
        verify(Workload((x,), (False,), (made,)))


def test_nothing_is_read_of_other_rows() -> None:
    workload = scan("cumsum", (2, 5), 1)
    x = np.array([[1, 2, np.inf, 3, np.nan], [1, 1, 1, 1, 1]], np.float32)
    kernel = instantiate(workload, TARGET, default(workload, TARGET))
    got = Library([kernel], TARGET).run(0, [x], random.Random(0))
    np.testing.assert_array_equal(got, [[1, 3, np.inf, np.inf, np.nan], [1, 2, 3, 4, 5]])
