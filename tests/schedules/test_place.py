"""Where along an axis the extreme is, against NumPy: of all types and sizes, at every end."""

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
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ops.evaluate import run
from luthier.schedules.ops.verify import verify
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.templates.registry import default, instantiate

TYPES = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()
# Few and many rows, short and long ones, in one part and in several, and columns.
SHAPES = [
    ((1,), 0), ((37,), 0), ((2, 20000), 1), ((9, 70), 1), ((19, 5), 1), ((11, 8), 1),
    ((3, 9, 21), 1), ((2, 40, 5), 0), ((70, 33), 0),
]  # fmt: skip


def place(op: str, shape: tuple[int, ...], axis: int, dtype: str, *, last: bool) -> Workload:
    b = Builder()
    out = tuple(1 if d == axis else n for d, n in enumerate(shape))
    x = b.input(shape, dtype)
    y = b.add(op, x, shape=out, dtype="int32", axes=(axis,), keepdims=True, last=last)
    b.add("cast", y, shape=out, dtype="int64")
    return b.workload


def drawn(shape: tuple[int, ...], dtype: str, rng: np.random.Generator, few: int) -> np.ndarray:
    """Of few numbers, with many equals, or many; the type's ends among them in some."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        ends = [np.nan, np.inf, -np.inf, -0.0, 0.0]
        x = rng.choice([-1, 0, 1], shape) if few else rng.standard_normal(shape)
        where = rng.random(shape) < (0.02 if few else 0.1 / max(shape))
        return np.where(where, rng.choice(ends, shape), x).astype(kind)
    info = np.iinfo(kind)
    if few == 2:
        return np.full(shape, (info.min, info.max)[rng.integers(2)], kind)
    low, high = (0, 3) if few else (info.min, info.max)
    return rng.integers(low, high, shape, dtype=kind, endpoint=True)


@pytest.mark.parametrize("dtype", TYPES)
def test_it_is_what_numpy_says(dtype: str) -> None:
    ways = itertools.cycle(itertools.product(("argmax", "argmin"), (False, True)))
    workloads = [
        place(op, shape, axis, dtype, last=last)
        for (shape, axis), (op, last) in zip(SHAPES * 2, ways, strict=False)
    ]
    target = TARGETS[RUNNABLE[TYPES.index(dtype) % len(RUNNABLE)]]
    library = Library([instantiate(w, target, default(w, target)) for w in workloads], target)
    rng = np.random.default_rng(TYPES.index(dtype))
    for index, workload in enumerate(workloads):
        for few in (0, 1, 2):
            x = drawn(workload.inputs[0].shape, dtype, rng, few)
            got = library.run(index, [x], random.Random(index))
            np.testing.assert_array_equal(got, run(workload, [x]), str(workload))


def test_open_lengths_and_numbers_of_rows() -> None:
    target = TARGETS[RUNNABLE[-1]]
    rng = np.random.default_rng(0)
    symbols = [Symbol("b", 1, 40), Symbol("n", 1, 200)]
    for inner in ((), (3,)):

        def make(b: int, n: int, inner: tuple[int, ...] = inner) -> Workload:
            return place("argmax", (b, n, *inner), 1, "float32", last=False)

        kernel = instantiate_open(opened(make, ["b", "n"]), symbols, target, names=("b", "n"))
        for b, n in itertools.product((1, 40), (1, 7, 200)):
            sizes = {"b": b, "n": n}
            number = next(i for i, a in enumerate(kernel.alternatives) if a.fits(sizes))
            library = Library([a.kernel for a in kernel.alternatives], target)
            library.kernels[number] = fixed(kernel, number, sizes)
            x = drawn((b, n, *inner), "float32", rng, 1)
            got = library.run(number, [x], random.Random(1), np.array([b, n], np.int64))
            np.testing.assert_array_equal(got, run(make(b, n), [x]))


@pytest.mark.parametrize("axes", [(-1,), (1,), (0, 1)])
def test_what_strangers_may_say_is_verified(axes: tuple[int, ...]) -> None:
    x = Tensor((5,))
    made = node("argmax", (0,), x, axes=axes, keepdims=True, last=False)
    with pytest.raises(IRError):
        verify(Workload((x,), (False,), (made,)))
