"""What one number of 8 bits decides is found in a table, exactly as it would be computed."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from caller import TARGETS, Library, in_turn, reference, schedules
from whole_attentions import Stored, rounded, widened
from workloads import EPILOGUES, Builder, Shape

from luthier.schedules import Target, Workload, codegen
from luthier.schedules.emit import tables
from luthier.schedules.target import host_features
from luthier.schedules.templates.registry import default, instantiate
from luthier.schedules.tvm_late import tvm

TARGET = replace(TARGETS["x86-64-v4"], extensions=("vnni", "vbmi"))


def steps(shape: Shape, x: Stored, y: Stored) -> Workload:
    """A Gelu of what is stored, rounded, and with the other sign, stored again."""
    b = Builder()
    between = rounded(b, EPILOGUES["gelu"](b, widened(b, b.input(shape, x.dtype), x)), y)
    rounded(b, b.add("negative", widened(b, between, y)), y)
    return b.workload


def product(rows: int, columns: int) -> Workload:
    """The same of a product that was rounded."""
    b, between = Builder(), Stored(scale=0.04)
    x, w = b.input((rows, 12), "uint8"), b.input((12, columns), "int8", constant=True)
    total = b.add("matmul_integer", x, w, shape=(rows, columns), dtype="int32")
    floats = b.add("cast", total, dtype="float32")
    y = b.add("multiply", floats, b.input((columns,), constant=True))
    y = widened(b, rounded(b, y, between), between)
    last = Stored("int8", 0.03, -20)
    y = widened(b, rounded(b, EPILOGUES["gelu"](b, y), last), last)
    rounded(b, b.add("negative", y), last)
    return b.workload


CASES = {
    "numbers without a sign": steps((3, 5, 67), Stored(), Stored(zero=9)),
    "numbers with one": steps((640,), Stored("int8", zero=-3), Stored("int8", zero=100)),
    "a number": steps((1,), Stored(), Stored("int8", zero=1)),
    "after a product": product(9, 150),
    "after a narrow one": product(5, 7),
}


def numbers(workload: Workload) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, t.shape).astype("uint8").view(t.dtype)
        if t.element.is_whole
        else rng.uniform(0.0001, 0.001, t.shape).astype(t.dtype)
        for t in workload.inputs
    ]


def check(workload: Workload, target: Target) -> None:
    chosen = list(schedules(workload, target, 2))
    library = Library([instantiate(workload, target, s) for s in chosen], target)
    inputs = numbers(workload)
    wanted = reference(workload, inputs)
    for i in range(len(chosen)):
        np.testing.assert_array_equal(library.run(i, inputs, random.Random(i)), wanted)


@pytest.mark.parametrize(("name", "level"), in_turn(CASES))
def test_kernels_find_what_others_compute(name: str, level: str) -> None:
    found = tables.table_of(CASES[name], TARGETS[level])
    assert found is not None
    assert not found.in_registers
    check(CASES[name], TARGETS[level])


@pytest.mark.parametrize("name", CASES)
def test_kernels_find_it_by_the_instruction(name: str) -> None:
    if host_features().issuperset(TARGET.features):
        check(CASES[name], TARGET)
    found = tables.table_of(CASES[name], TARGET)
    assert found is not None
    assert found.in_registers
    assert "vpermi2b" in assembly(CASES[name]) or "vpermt2b" in assembly(CASES[name])


def assembly(workload: Workload) -> str:
    kernel = instantiate(workload, TARGET, default(workload, TARGET))
    lowered = codegen.lower({"k": kernel}, TARGET)
    build = tvm.get_global_func("target.build.llvm")
    return str(build(lowered, codegen.llvm_target(TARGET)).inspect_source("asm"))


def test_what_several_numbers_decide_has_no_table() -> None:
    b, how = Builder(), Stored()
    x, y = (widened(b, b.input((9, 70), "uint8"), how) for _ in range(2))
    rounded(b, b.add("multiply", x, y), how)
    assert tables.table_of(b.workload, TARGET) is None


def test_what_a_number_for_each_channel_decides_has_no_table() -> None:
    b, how = Builder(), Stored()
    x = widened(b, b.input((9, 70), "uint8"), how)
    rounded(b, b.add("multiply", x, b.input((70,), constant=True)), how)
    assert tables.table_of(b.workload, TARGET) is None


def test_what_is_as_fast_as_a_read_is_computed() -> None:
    b, how = Builder(), Stored()
    rounded(b, b.add("relu", widened(b, b.input((9, 70), "uint8"), how)), Stored(zero=3))
    assert tables.table_of(b.workload, TARGETS["x86-64-v3"]) is None
    assert tables.table_of(b.workload, TARGET) is not None
