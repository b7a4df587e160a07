"""Crossed pairs are as exact as others: any rows, columns and depths, of the largest numbers."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from caller import EXTENDED, TARGETS, Library, compare, reference
from whole_workloads import whole_conv, whole_matmul

from luthier.schedules import Schedule, Target, Workload, codegen
from luthier.schedules.emit.crossed_pairs import MOST
from luthier.schedules.target.costs import Costs
from luthier.schedules.templates.gemm_integer.form import IntegerGemm
from luthier.schedules.templates.registry import default, instantiate
from luthier.schedules.tvm_late import tvm

TARGET = TARGETS["x86-64-v3"]
CASES = {
    "one number": whole_matmul((1, 1), (1, 1)),
    "ends of everything": whole_matmul((13, 37), (37, 53), to="uint8", zero=117),
    "whole vectors": whole_matmul((24, 64), (64, 48), ("int8", "int8"), to="int8", zero=-5),
    "more rows than lanes in a tile": whole_matmul((40, 18), (18, 7), to="uint8"),
    "a batch": whole_matmul((2, 3, 7, 9), (9, 21), to="uint8", zero=3),
    "pixels": whole_conv((2, 5, 6, 35), 21, (1, 1), ("uint8", "int8"), to="uint8"),
    "weights of no sign": whole_matmul((9, 33), (33, 16), ("int8", "uint8")),
}


def crossed(workload: Workload, target: Target, count: int) -> list[Schedule]:
    form = IntegerGemm.match(workload, target)
    assert form is not None
    rng = random.Random(workload.text)
    drawn = (form.space.sample(rng) for _ in range(300))
    found = dict.fromkeys(s for s in drawn if s["weights"] == "crossed")
    assert found
    return list(found)[:count]


def ends(workload: Workload, rng: np.random.Generator, pick: int) -> list[np.ndarray]:
    """Of numbers of 8 bits the least and the largest: all the one, or the other, or either."""

    def of(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        both = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
        return rng.choice(both, shape) if pick > 1 else np.full(shape, both[pick])

    return [
        of(t.dtype, t.shape)
        if t.element.bits == 8
        else (rng.integers(-(2**20), 2**20, t.shape) if t.element.is_whole else np.ones(t.shape))
        .astype(t.dtype)
        for t in workload.inputs
    ]  # fmt: skip


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3"])
@pytest.mark.parametrize("name", CASES)
def test_the_largest_numbers(name: str, level: str) -> None:
    workload, target = CASES[name], TARGETS[level]
    chosen = crossed(workload, target, 3)
    library = Library([instantiate(workload, target, s) for s in chosen], target)
    rng = np.random.default_rng(0)
    for pick in range(4):
        inputs = ends(workload, rng, pick)
        wanted = reference(workload, inputs)
        limit = 1e-6 * np.abs(wanted) if wanted.dtype.kind == "f" else 0
        for i, schedule in enumerate(chosen):
            compare(library.run(i, inputs, random.Random(i)), wanted, limit, schedule)


def test_the_deepest_that_there_may_be() -> None:
    workload = whole_matmul((3, MOST), (MOST, 9))
    chosen = crossed(workload, TARGET, 1)
    library = Library([instantiate(workload, TARGET, s) for s in chosen], TARGET)
    for a, b in itertools.product((0, 255), (-128, 127)):
        inputs = [np.full((3, MOST), a, np.uint8), np.full((MOST, 9), b, np.int8)]
        inputs[0][1] = 255 - a
        compare(library.run(0, inputs, random.Random(0)), reference(workload, inputs), 0)


OTHERS = {
    "too deep": (whole_matmul((3, MOST + 1), (MOST + 1, 9)), TARGET),
    "rows of 16 bits": (whole_matmul((8, 9), (9, 10), ("int16", "int8")), TARGET),
    "columns of a run": (whole_matmul((8, 9), (9, 10), constant=False), TARGET),
    "fours": (CASES["whole vectors"], EXTENDED["x86-64-v3"]),
    "wide vectors": (CASES["whole vectors"], TARGETS["x86-64-v4"]),
    "as many additions as multiplications": (
        CASES["whole vectors"],
        replace(TARGET, measured=Costs(latency=4, multiply_adds=2, operations=3)),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_crossed(name: str) -> None:
    form = IntegerGemm.match(*OTHERS[name])
    assert form is not None
    assert "crossed" not in form.layouts


def test_sums_take_the_place_of_products_where_these_are_many() -> None:
    def of(workload: Workload) -> tuple[object, str]:
        schedule = default(workload, TARGET)
        lowered = codegen.lower({"k": instantiate(workload, TARGET, schedule)}, TARGET)
        build = tvm.get_global_func("target.build.llvm")
        text = build(lowered, codegen.llvm_target(TARGET)).inspect_source("asm")
        return schedule["weights"], text

    layout, text = of(whole_matmul((128, 384), (384, 64)))
    assert layout == "crossed"
    assert 0 < text.count("vpmaddwd") <= text.count("vpaddw")
    layout, text = of(whole_matmul((12544, 16), (16, 96)))
    assert layout == "widened"
    assert "vpaddw" not in text
