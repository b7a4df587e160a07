"""What comes first in rows, and which values there are: against NumPy, of all types and sizes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library
from open_workloads import Make, opened
from test_open_kernels import fixed
from workloads import Builder

from luthier.schedules import ScheduleError, Tensor, Workload, node
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.dtype import ACCEPTED
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ops.evaluate import run
from luthier.schedules.ops.verify import verify
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.templates.registry import default, forms, instantiate, spaces
from luthier.schedules.templates.sort.form import Knobs

TARGET = TARGETS[RUNNABLE[-1]]
METHODS = ("insert", "lanes", "reservoir", "digits")
Shape = tuple[int, ...]


def first(shape: Shape, axis: int, k: int, largest: bool, dtype: str = "float32") -> Workload:
    b = Builder()
    out = (*shape[:axis], k, *shape[axis + 1 :])
    x = b.input(shape, dtype)
    b.add("topk", x, shape=out, dtype="int64", axis=axis, k=k, largest=largest)
    return b.workload


def distinct(shape: Shape, is_sorted: bool, dtype: str = "float32") -> Workload:
    b = Builder()
    out = (3, shape[0])
    b.add("distinct", b.input(shape, dtype), shape=out, dtype="int64", sorted=is_sorted)
    return b.workload


def drawn(shape: Shape, dtype: str, rng: np.random.Generator, *, few: bool) -> np.ndarray:
    """All numbers of the type, or a few with many equals; its extremes among them."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    if kind.kind == "f":
        x = (rng.integers(-3, 3, shape) if few else rng.standard_normal(shape)).astype(kind)
        tiny, top = np.finfo(kind).smallest_subnormal, np.finfo(kind).max
        special = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, tiny, -tiny, top, -top]
    else:
        info = np.iinfo(kind)
        bounds = (0, 4) if few else (info.min, info.max)
        x = rng.integers(*bounds, shape, dtype=kind, endpoint=True)
        special = [info.min, info.min + 1, info.max, info.max - 1, 0]
    chosen = rng.integers(0, 6 * len(special), shape)
    for number, value in enumerate(special):
        x[chosen == number] = value
    return x


def check(workloads: Sequence[Workload], seed: int, methods: Sequence[str] = METHODS) -> None:
    """Each with all of these methods, where it has some, on few values and on many."""
    kernels = []
    for workload in workloads:
        (space,) = spaces(workload, TARGET)
        knobs = dict(space.default_schedule().knobs)
        for method in methods if "method" in knobs else ("",):
            chosen = {**knobs, "method": method} if method else knobs
            if space.valid(chosen):
                kernels.append(instantiate(workload, TARGET, space.schedule(chosen)))
    library, rng = Library(kernels, TARGET), np.random.default_rng(seed)
    for index, kernel in enumerate(kernels):
        (tensor,) = kernel.workload.inputs
        for few in (True, False):
            x = drawn(tensor.shape, tensor.dtype, rng, few=few)
            got = library.run(index, [x], random.Random(seed))
            assert np.array_equal(got, run(kernel.workload, [x])), (kernel.schedule, tensor)


@pytest.mark.parametrize("dtype", ACCEPTED)
def test_the_first_of_rows(dtype: str) -> None:
    shapes: list[tuple[Shape, int, int]] = [
        ((1,), 0, 1),
        ((70,), 0, 70),
        ((3, 300), 1, 4),
        ((3, 90, 5), 1, 33),
        ((130, 7), 0, 2),
    ]
    each = itertools.product(shapes, (False, True))
    check([first(*shape, largest, dtype) for shape, largest in each], seed=len(dtype))


@pytest.mark.parametrize("dtype", ACCEPTED)
def test_the_first_of_rows_in_lanes(dtype: str) -> None:
    """Side by side and one after the other: as many as lanes, some more, and all of a row."""
    shapes: list[tuple[Shape, int, int]] = [
        ((130, 16), 0, 2),
        ((2, 60, 19), 1, 16),
        ((3, 1, 40), 1, 1),
        ((37, 7), 1, 7),
        ((71, 20), 1, 1),
        ((21, 90), 1, 18),
        ((13, 30, 2), 1, 5),
        ((7, 40, 4), 1, 20),
        ((5, 12, 8), 1, 3),
    ]
    each = itertools.product(shapes, (False, True))
    workloads = [first(*shape, largest, dtype) for shape, largest in each]
    assert all(form.together for workload in workloads for form in forms(workload, TARGET))
    check(workloads, seed=len(dtype), methods=("lanes",))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8"])
def test_lists_of_rows_in_lanes_that_registers_do_not_hold(dtype: str) -> None:
    shapes: list[tuple[Shape, int, int]] = [
        ((40, 37), 0, 33),
        ((2, 60, 19), 1, 17),
        ((35, 31), 1, 31),
        ((21, 500), 1, 18),
    ]
    workloads = [first(*shape, True, dtype) for shape in shapes]
    assert all(form.together for workload in workloads for form in forms(workload, TARGET))
    check(workloads, seed=len(dtype), methods=("lanes",))


@pytest.mark.parametrize("dtype", ACCEPTED)
def test_different_rows(dtype: str) -> None:
    shapes: list[Shape] = [(1, 1), (1, 7), (150, 1), (90, 3)]
    check([distinct(*each, dtype) for each in itertools.product(shapes, (False, True))], seed=3)


def test_rows_in_any_order_before() -> None:
    """Each of them is the worst for something: ascending, descending, and waves."""
    n = np.arange(5000, dtype=np.float32)
    rows = [n, -n, np.zeros_like(n), n % 7, np.abs(n - 2500), -np.abs(n - 2500)]
    x = np.stack(rows * 3)
    workloads = [first(x.shape, 1, k, True) for k in (1, 10, 64, 65, 4999, 5000)]
    kernels = [
        instantiate(w, TARGET, s.schedule(knobs))
        for w in workloads
        for s in spaces(w, TARGET)
        for knobs in ({"method": method, "grain": 4096} for method in METHODS)
        if s.valid(knobs)
    ]
    library = Library(kernels, TARGET)
    for index, kernel in enumerate(kernels):
        got = library.run(index, [x], random.Random(1))
        assert np.array_equal(got, run(kernel.workload, [x])), kernel.schedule


def test_few_are_kept_in_order_and_many_are_chosen() -> None:
    chosen = {k: default(first((3, 500), 1, k, True), TARGET)["method"] for k in (1, 5, 17, 500)}
    assert chosen == {1: "insert", 5: "insert", 17: "reservoir", 500: "digits"}
    chosen = {k: default(first((64, 60), 1, k, True), TARGET)["method"] for k in (5, 20)}
    assert chosen == {5: "lanes", 20: "lanes"}
    assert default(first((3, 80), 1, 40, True), TARGET)["method"] == "digits"


def test_rows_are_shared_by_threads() -> None:
    for workload in (first((64, 5000), 1, 5, True), first((6400, 8), 1, 2, True)):
        (phase,) = instantiate(workload, TARGET, default(workload, TARGET)).phases
        assert 6 * TARGET.threads <= phase.chunks <= 12 * TARGET.threads
    two = first((2, 5000), 1, 50, True)
    (phase,) = instantiate(two, TARGET, default(two, TARGET)).phases
    assert phase.chunks == 2


@pytest.mark.parametrize("make", [first((1 << 26,), 0, 5, True), distinct((1 << 26, 1), True)])
def test_memory_of_a_long_row_is_a_few_times_its_own(make: Workload) -> None:
    kernel = instantiate(make, TARGET, default(make, TARGET))
    assert kernel.scratch <= 4 * make.inputs[0].nbytes + (1 << 20)


@pytest.mark.parametrize("make", [first((1 << 27,), 0, 5, True), distinct((1 << 27, 1), True)])
def test_a_longer_row_is_refused(make: Workload) -> None:
    with pytest.raises(ScheduleError, match="no template computes"):
        forms(make, TARGET)


# ---- sizes that are known only at run time ----


def some(k: int | None, *, outer: int, inner: int, dtype: str) -> Make:
    """``k``, and ``n`` more that may be left; all of ``n`` where it is None."""

    def make(n: int) -> Workload:
        length, count = (n, n) if k is None else (n + k, k)
        return first((outer, length, inner), 1, count, True, dtype)

    return make


def check_open(make: Make, symbols: Sequence[Symbol], dtype: str) -> None:
    names = tuple(symbol.name for symbol in symbols)
    workload = opened(make, names)
    kernel = instantiate_open(workload, symbols, TARGET, names=names)
    kernels = [alternative.kernel for alternative in kernel.alternatives]
    library, rng = Library(kernels, TARGET), np.random.default_rng(5)
    choices = [sorted({s.least, s.least + 1, 2, 3, 64, 65, 129, s.most}) for s in symbols]
    for numbers in itertools.product(*choices):
        sizes = dict(zip(names, numbers, strict=True))
        if not all(size in symbol for size, symbol in zip(numbers, symbols, strict=True)):
            continue
        index = next(i for i, a in enumerate(kernel.alternatives) if a.fits(sizes))
        library.kernels = [
            fixed(kernel, i, sizes) if i == index else each for i, each in enumerate(kernels)
        ]
        made = workload.at(sizes)
        x = drawn(made.inputs[0].shape, dtype, rng, few=bool(rng.integers(2)))
        got = library.run(index, [x], random.Random(1), np.array(numbers, np.int64))
        assert np.array_equal(got, run(made, [x])), sizes


@pytest.mark.parametrize("dtype", ["float32", "int8", "int64", "float16"])
@pytest.mark.parametrize("k", [None, 5, 20])
def test_the_first_of_rows_of_an_open_length(k: int | None, dtype: str) -> None:
    check_open(some(k, outer=3, inner=1, dtype=dtype), [Symbol("n", 0, 200)], dtype)
    check_open(some(k, outer=2, inner=3, dtype=dtype), [Symbol("n", 0, 70)], dtype)
    check_open(some(k, outer=2, inner=19, dtype=dtype), [Symbol("n", 0, 9)], dtype)


def test_open_numbers_of_rows_and_of_what_is_wanted() -> None:
    def make(b: int, k: int) -> Workload:
        return first((b, 130), 1, k, False)

    check_open(make, [Symbol("b", 0, 70), Symbol("k", 0, 130)], "float32")


@pytest.mark.parametrize("is_sorted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bool", "int64"])
def test_different_ones_of_an_open_number(dtype: str, is_sorted: bool) -> None:
    def one(n: int) -> Workload:
        return distinct((n, 1), is_sorted, dtype)

    def rows(n: int, c: int) -> Workload:
        return distinct((n, c), is_sorted, dtype)

    check_open(one, [Symbol("n", 0, 200)], dtype)
    check_open(rows, [Symbol("n", 0, 129), Symbol("c", 1, 5)], dtype)


def _of(op: str, x: Tensor, out: Tensor, **attrs: int | bool) -> Workload:
    return Workload((x,), (False,), (node(op, (0,), out, **attrs),))


LINE = Tensor((5,))
WRONG = {
    "more than there are": _of("topk", LINE, Tensor((6,), "int64"), axis=0, k=6, largest=True),
    "less than none": _of("topk", LINE, Tensor((-1,), "int64"), axis=0, k=-1, largest=True),
    "another dimension": _of("topk", LINE, Tensor((5, 2), "int64"), axis=1, k=2, largest=True),
    "one before the first": _of("topk", LINE, Tensor((2,), "int64"), axis=-1, k=2, largest=True),
    "as many as are not said": _of("topk", LINE, Tensor((3,), "int64"), axis=0, k=2, largest=True),
    "places of another type": _of("topk", LINE, Tensor((2,), "int32"), axis=0, k=2, largest=True),
    "no matrix": _of("distinct", LINE, Tensor((3, 5), "int64"), sorted=True),
    "more rows": _of("distinct", Tensor((5, 2)), Tensor((3, 6), "int64"), sorted=True),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_strangers_may_say_is_verified(name: str) -> None:
    """A kernel of it would read or write where it must not."""
    with pytest.raises(IRError):
        verify(WRONG[name])


# ---- what the tuner sees ----


def test_the_ways_to_sort_differ_for_the_cost_model() -> None:
    (form,) = forms(first((4, 1000), 1, 300, True), TARGET)
    table = {"method": np.array(METHODS), "grain": np.full(len(METHODS), 1024)}
    moved = dict(zip(METHODS, form.nests(table).other, strict=True))
    assert moved["insert"] > moved["digits"]
    assert len(set(moved.values())) == len(METHODS)


def test_a_tuned_method_is_kept_where_as_many_are_wanted() -> None:
    (form,) = forms(first((4, 1000), 1, 5, True), TARGET)
    tuned = Knobs("digits", 1024)
    assert form.resized(tuned) == tuned
