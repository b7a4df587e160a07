"""Kernels of trees: every method and type, on rows of any numbers, open numbers of rows too."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library
from open_workloads import opened
from test_open_kernels import fixed
from workloads import ensemble

from luthier.autotune.measure import inputs as measured
from luthier.schedules import Target, Workload
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ir.workload import Node
from luthier.schedules.ops.evaluate import run
from luthier.schedules.ops.forest import EQUAL, NAN_IS_TRUE, Forest
from luthier.schedules.ops.forest_blocks import TRUE, columns_of, counts
from luthier.schedules.ops.trees import layout_of
from luthier.schedules.target.machine import host_features
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.templates.registry import default, instantiate, spaces
from luthier.schedules.templates.trees import byte_instructions

TARGET = TARGETS[RUNNABLE[-1]]


def drawn(workload: Workload, seed: int = 0) -> list[np.ndarray]:
    """Rows of all kinds of numbers, and thresholds that some of them meet."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(workload.inputs[0].shape).astype(workload.inputs[0].dtype)
    special = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, np.finfo(x.dtype).max]
    chosen = rng.integers(0, 6 * len(special), x.shape)
    for number, value in enumerate(special):
        x[chosen == number] = value
    node = workload.nodes[0]
    layout = layout_of(node)
    forest = Forest.of(measured.draw(workload, 1, seed), layout)
    met = x.reshape(-1)[rng.integers(0, x.size, layout.nodes)]
    inner = forest.children != np.arange(layout.nodes)
    forest.threshold[:] = np.where(inner & (rng.random(layout.nodes) < 0.3), met, forest.threshold)
    if node.attr("equal"):
        bits = rng.choice([0, EQUAL, NAN_IS_TRUE, EQUAL | NAN_IS_TRUE], layout.nodes)
        forest.feature[:] += np.where(inner, bits, 0)
    return [x, forest.table(layout)]


CASES = {
    "one row": ensemble(1, trees=21),
    "few rows": ensemble(5, trees=3, depth=5),
    "rows": ensemble(70),
    "negated": ensemble(70, negated=True, depth=5),
    "equal": ensemble(20, negated=True, equal=True),
    "targets": ensemble(33, targets=4, negated=True),
    "leaves": ensemble(33, targets=20, leaves=11),
    "least": ensemble(19, combine="min", targets=2),
    "largest": ensemble(19, combine="max"),
    "a leaf": ensemble(19, depth=0, trees=3),
    "one tree": ensemble(70, trees=1, depth=7),
    "one feature": ensemble(70, features=1),
    "deep": ensemble(9, depth=9, trees=2),
}


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_method_is_right(level: str, dtype: str) -> None:
    target = TARGETS[level]
    kernels, rng = [], random.Random(level)
    some = CASES if level == RUNNABLE[-1] else {n: CASES[n] for n in ("negated", "targets")}
    for workload in some.values():
        made = as_type(workload, dtype)
        (space,) = spaces(made, target)
        chosen = {space.default_schedule()}
        for method in space.knobs[0].choices:
            found = (space.sample(rng) for _ in range(1000))
            chosen.add(next(s for s in found if dict(s.knobs)["method"] == method))
        kernels += [instantiate(made, target, each) for each in sorted(chosen, key=str)]
    library = Library(kernels, target)
    for index, kernel in enumerate(kernels):
        inputs = drawn(kernel.workload)
        got = library.run(index, inputs, random.Random(index))
        np.testing.assert_array_equal(got, run(kernel.workload, inputs), str(kernel.schedule))


def as_type(workload: Workload, dtype: str) -> Workload:
    """The same of another element type."""
    node = workload.nodes[0]
    numbers = {n: node.attr(n) for n in ("trees", "depth", "targets", "leaves", "combine")}
    flags = {n: node.attr(n) for n in ("negated", "equal")}
    return ensemble(*workload.inputs[0].shape, dtype=dtype, **numbers, **flags)


def in_bytes(workload: Workload, seed: int = 0) -> tuple[Workload, list[np.ndarray]]:
    """With what tells how its bytes are compared, and inputs for which that holds."""
    inputs = drawn(workload, seed)
    node = workload.nodes[0]
    found = counts(Forest.of(inputs[1], layout_of(node)))
    told = Node(node.op, node.args, node.out, (*node.attrs, *found.items()))
    return Workload(workload.inputs, workload.constants, (told,)), inputs


def with_bytes(monkeypatch: pytest.MonkeyPatch) -> tuple[Target, Target]:
    """What kernels are made for, and what they run on: the same where this machine can."""
    target = replace(TARGETS["x86-64-v4"], extensions=("vbmi",))
    if host_features().issuperset(target.features):
        return target, target
    monkeypatch.setattr(byte_instructions, "choose", emulated)
    return target, TARGET


def emulated(vectors: int) -> str:
    """``choose`` a byte at a time."""
    row = ", ".join(f"<64 x i8> %x{i}" for i in range(vectors))
    stored = "\n".join(f"""
  %p{i} = getelementptr <64 x i8>, ptr %held, i64 {i}
  store <64 x i8> %x{i}, ptr %p{i}""" for i in range(vectors))  # fmt: skip
    return f"""
define <64 x i8> @luthier_trees_choose_{vectors}({row}, <64 x i8> %w) alwaysinline {{
entry:
  %held = alloca <64 x i8>, i64 {vectors}
  {stored}
  br label %lane
lane:
  %i = phi i32 [0, %entry], [%next, %lane]
  %y = phi <64 x i8> [zeroinitializer, %entry], [%z, %lane]
  %a = extractelement <64 x i8> %w, i32 %i
  %b = and i8 %a, {64 * vectors - 1}
  %c = zext i8 %b to i64
  %p = getelementptr i8, ptr %held, i64 %c
  %v = load i8, ptr %p
  %z = insertelement <64 x i8> %y, i8 %v, i32 %i
  %next = add i32 %i, 1
  %more = icmp ult i32 %next, 64
  br i1 %more, label %lane, label %end
end:
  ret <64 x i8> %z
}}
"""


BLOCKS = {
    **{name: each for name, each in CASES.items() if name not in ("equal", "a leaf")},
    "two vectors": ensemble(40, features=100, trees=40, depth=4),
    "four vectors": ensemble(40, features=90, trees=60, depth=4, negated=True),
    "many thresholds": ensemble(9, features=1, trees=20, depth=7),
    "many leaves": ensemble(3, targets=3, leaves=11, depth=7),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_of_bytes_are_right(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, runs = with_bytes(monkeypatch)
    rng, kernels, given = random.Random(1), [], []
    for name, plain in BLOCKS.items():
        workload, inputs = in_bytes(as_type(plain, dtype), len(name))
        (space,) = spaces(workload, target)
        assert "blocks" in space.knobs[0].choices, name
        found = [space.sample(rng) for _ in range(2000)]
        chosen = {space.default_schedule()}
        for levels in space.knobs[3].choices[1:]:
            of_levels = [s for s in found if dict(s.knobs)["levels"] == levels]
            for alone in (True, False):
                chosen.add(next(s for s in of_levels if (dict(s.knobs)["grain"] == 1) == alone))
        kernels += [instantiate(workload, target, each) for each in sorted(chosen, key=str)]
        given += [inputs] * len(chosen)
    library = Library(kernels, runs)
    for index, kernel in enumerate(kernels):
        got = library.run(index, given[index], random.Random(index))
        want = run(kernel.workload, given[index])
        np.testing.assert_array_equal(got, want, f"{kernel.workload} {kernel.schedule}")


def test_columns_are_of_few_thresholds() -> None:
    """An element with more has several; of equality and too many columns there are none."""
    for name, least in (("one feature", 1), ("many thresholds", 2), ("four vectors", 129)):
        workload, (_, table) = in_bytes(BLOCKS[name])
        columns = columns_of(Forest.of(table, layout_of(workload.nodes[0])))
        assert columns.feature.size == workload.nodes[0].attr("columns") >= least
        assert (columns.threshold[:, 1:] >= columns.threshold[:, :-1]).all()
        assert columns.code.max() == TRUE
    workload, _ = in_bytes(CASES["equal"])
    assert workload.nodes[0].attr("columns") == 0
    workload, _ = in_bytes(ensemble(1, features=300, trees=100, depth=5))
    assert workload.nodes[0].attr("columns") == 0


@pytest.mark.parametrize("name", ["deep", "many thresholds", "negated"])
def test_what_measurements_draw_fits_the_blocks(name: str) -> None:
    workload, _ = in_bytes(BLOCKS[name])
    node = workload.nodes[0]
    found = counts(Forest.of(measured.draw(workload, 1, seed=3), layout_of(node)))
    assert 1 <= found["columns"] <= node.attr("columns")
    assert all(a <= b for a, b in zip(found["blocks"], node.attr("blocks"), strict=True))


@pytest.mark.parametrize(("depth", "dtype"), list(product((3, 9), ("float32", "float64"))))
def test_open_numbers_of_rows(depth: int, dtype: str) -> None:
    """Few rows and many read the same constant."""
    workload = opened(lambda n: ensemble(n, depth=depth, dtype=dtype, trees=11), "n")
    kernel = instantiate_open(workload, [Symbol("n", 1, 300)], TARGET)
    kernels = [a.kernel for a in kernel.alternatives]
    assert len(kernels) == 2
    library = Library(kernels, TARGET)
    for n in (1, 2, 7, 8, 9, 100, 300):
        index = next(i for i, a in enumerate(kernel.alternatives) if a.fits({"n": n}))
        library.kernels = [
            fixed(kernel, i, {"n": n}) if i == index else each for i, each in enumerate(kernels)
        ]
        inputs = drawn(workload.at({"n": n}))
        got = library.run(index, inputs, random.Random(n), np.array([n]))
        np.testing.assert_array_equal(got, run(workload.at({"n": n}), inputs))


def test_the_default_suits_the_rows() -> None:
    """Trees of a row at once, all nodes of trees that are not deep, else rows of a tree."""
    target = TARGETS["x86-64-v4"]

    def method(rows: int, depth: int, **attrs: int) -> object:
        return dict(default(ensemble(rows, depth=depth, **attrs), target).knobs)["method"]

    assert method(1, 4) == "trees"
    assert method(1000, 4) == "compare"
    assert method(1000, 10) == "rows"
    assert method(1000, 4, leaves=5) == "rows"


def test_what_measurements_draw_is_a_forest() -> None:
    for workload in CASES.values():
        table, layout = measured.draw(workload, 1, seed=3), layout_of(workload.nodes[0])
        forest = Forest.of(table, layout)
        assert np.array_equal(forest.table(layout), table)
        assert 0 <= forest.children.min() <= forest.children.max() < layout.nodes
        ends = forest.leaves(0, measured.draw(workload, 0, seed=3))
        assert np.array_equal(forest.children[ends], ends)
