"""Products with matrices of few bits: right for every block, number of rows, level and extreme."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from caller import (
    RUNNABLE,
    TARGETS,
    Library,
    compare,
    in_turn,
    on_the_others,
    reference,
    schedules,
    verify,
)
from coded_workloads import few_bits, halves
from test_whole_products import emulated

from luthier.schedules import Workload, codegen
from luthier.schedules.emit import dot_products
from luthier.schedules.ops.few_bits import packed, rounded, unpacked, widened
from luthier.schedules.target import host
from luthier.schedules.target.costs import Costs
from luthier.schedules.templates.registry import default, instantiate, spaces
from luthier.schedules.tvm_late import tvm


def inputs(workload: Workload, seed: int = 0) -> list[np.ndarray]:
    """Every code, scales of both signs, zero points that are not whole."""
    rng = np.random.default_rng(seed)
    found = []
    for i, tensor in enumerate(workload.inputs):
        if tensor.dtype == "int8":
            found.append(rng.integers(-128, 128, tensor.shape).astype(np.int8))
        else:
            spread = 3.0 if i == 3 else 1.0
            drawn = rng.uniform(-spread, spread, tensor.shape)
            found.append(drawn.astype(tensor.element.numpy))
    return found


CASES = {
    "one row": few_bits((1,), 64, 24, 4, 32),
    "one column": few_bits((1,), 32, 1, 8, 16),
    "a prime of everything, zeros": few_bits((3,), 37, 53, 4, 16, zeros=True),
    "a prime of everything, 8 bits": few_bits((5,), 101, 29, 8, 32, zeros=True),
    "one block of odd depth": few_bits((2,), 67, 31, 8, 72),
    "a block for each row of 4 bits": few_bits((1, 2), 51, 40, 4, 56),
    "as many rows as there are for it": few_bits((2, 4), 48, 20, 4, 16),
    "many rows": few_bits((19,), 100, 45, 4, 32, zeros=True),
    "a row, float16": halves((1,), 51, 43, "float16"),
    "rows, bfloat16": halves((3,), 37, 21, "bfloat16"),
    "many rows, bfloat16": halves((2, 9), 24, 33, "bfloat16"),
    "many rows, float16": halves((13,), 31, 17, "float16"),
    "many rows of a batch, 8 bits": few_bits((3, 11), 64, 70, 8, 64),
    "numbers of 2 bits": few_bits((2,), 71, 33, 2, 16, zeros=True),
    "many rows, 2 bits": few_bits((17,), 96, 40, 2, 32),
    "a rounded row": few_bits((1,), 64, 24, 4, 32, rounded=True),
    "a prime of everything, rounded": few_bits((3,), 37, 53, 4, 16, zeros=True, rounded=True),
    "8 bits, rounded": few_bits((5,), 101, 29, 8, 32, zeros=True, rounded=True),
    "2 bits, rounded": few_bits((2, 2), 91, 17, 2, 48, rounded=True),
    "one block, rounded": few_bits((2,), 67, 31, 8, 80, rounded=True),
    "many rows, rounded": few_bits((29,), 100, 45, 4, 32, zeros=True, rounded=True),
    "many rows of a batch, rounded": few_bits((3, 11), 64, 70, 8, 64, rounded=True),
}


@pytest.mark.parametrize(("name", "level"), in_turn(CASES))
def test_edges(name: str, level: str) -> None:
    verify(CASES[name], level, inputs=inputs(CASES[name]), absolute=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "level"), on_the_others(CASES))
def test_edges_on_the_other_levels(name: str, level: str) -> None:
    verify(CASES[name], level, inputs=inputs(CASES[name], 1), absolute=2e-3)


def test_what_is_not_finite_stays_in_its_row() -> None:
    workload = few_bits((4,), 64, 24, 4, 32, zeros=True)
    given = inputs(workload)
    given[0][1, 3], given[0][2, 40] = np.inf, np.nan
    given[2][:] = np.abs(given[2]) + 0.1
    verify(workload, RUNNABLE[-1], inputs=given, absolute=2e-3)


def test_what_is_not_finite_stays_in_its_row_where_rows_are_rounded() -> None:
    workload = few_bits((5,), 64, 24, 4, 32, zeros=True, rounded=True)
    given = inputs(workload)
    given[0][1, 3], given[0][2, 40], given[0][3, 9] = np.inf, np.nan, -np.inf
    given[0][4] = 0
    for level in RUNNABLE:
        verify(workload, level, inputs=given, absolute=2e-3)
    assert np.isnan(reference(workload, given)[1:4]).all()


def test_rows_are_rounded_half_to_even_by_the_largest_of_a_block() -> None:
    row = np.array([[127, 0.5, 1.5, -2.5, 3.4, 0, 0, 0, 0, 0, 254]], np.float32)
    numbers, steps = rounded(row, 8)
    assert numbers.tolist() == [[[127, 0, 2, -2, 3, 0, 0, 0], [0, 0, 127, 0, 0, 0, 0, 0]]]
    assert steps.tolist() == [[1, 2]]


def test_sums_of_rounded_rows_are_as_exact_at_their_ends() -> None:
    """The largest numbers of both, of which 16 bits do not hold what two products add up to."""
    workload = few_bits((2,), 64, 24, 8, 32, rounded=True)
    given = inputs(workload)
    given[0][:] = np.array([[1.0], [-1.0]])
    given[1][:] = np.where(np.arange(24)[:, None] % 2, 127, -128)
    for level in RUNNABLE:
        verify(workload, level, inputs=given, absolute=2e-3, of_sum=0.0)


@pytest.mark.parametrize("name", ["a prime of everything, rounded", "8 bits, rounded"])
def test_what_an_extension_multiplies_is_the_same(name: str, monkeypatch) -> None:
    """The kernel as it is, but for the instruction, which this machine may not have."""
    monkeypatch.setattr(dot_products, "add_four_products", emulated)
    workload, plain = CASES[name], TARGETS["x86-64-v3"]
    target, given = replace(plain, extensions=("avxvnni",)), inputs(CASES[name])
    chosen = list(schedules(workload, target, 1))
    library = Library([instantiate(workload, target, s) for s in chosen], plain)
    others = Library([instantiate(workload, plain, s) for s in chosen], plain)
    for i, schedule in enumerate(chosen):
        found, other = (each.run(i, given, random.Random(i)) for each in (library, others))
        compare(found, other, 0.0, str(schedule))


def test_this_machines_instructions_give_the_same() -> None:
    for name, workload in CASES.items():
        if "rounded" in name:
            target, given = host(2), inputs(workload, 2)
            kernel = instantiate(workload, target, default(workload, target))
            found = Library([kernel], target).run(0, given, random.Random(0))
            compare(found, reference(workload, given), 2e-3, name)


@pytest.mark.parametrize(("level", "extension"), [("x86-64-v4", "vnni"), ("x86-64-v3", "avxvnni")])
def test_an_extension_multiplies_four_at_a_time(level: str, extension: str) -> None:
    target = replace(TARGETS[level], extensions=(extension,))
    workload = CASES["a rounded row"]
    kernel = instantiate(workload, target, default(workload, target))
    lowered = codegen.lower({"k": kernel}, target)
    built = tvm.get_global_func("target.build.llvm")(lowered, codegen.llvm_target(target))
    text = built.inspect_source("asm")
    assert "vpdpbusd" in text
    assert "vpmaddubsw" not in text


@pytest.mark.parametrize(
    ("level", "operations", "found"),
    [("x86-64-v4", 2, "vpermw"), ("x86-64-v4", 1, "vpermps"), ("x86-64-v3", 2, "vpshufb")],
)
def test_four_bits_are_looked_up(level: str, operations: int, found: str) -> None:
    """One by one where a vector has 16 lanes, in pairs where there are units beside those that
    multiply; else by their bytes."""
    target = replace(TARGETS[level], measured=Costs(4, 1, operations))
    workload = CASES["one row"]
    kernel = instantiate(workload, target, default(workload, target))
    lowered = codegen.lower({"k": kernel}, target)
    built = tvm.get_global_func("target.build.llvm")(lowered, codegen.llvm_target(target))
    text = built.inspect_source("asm")
    assert {name for name in ("vpermw", "vpermps", "vpshufb") if name in text} == {found}


@pytest.mark.parametrize("level", [level for level in RUNNABLE if level != "x86-64-v4"])
@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("rows", [1, 2, 4, 11])
def test_every_number_is_in_its_place(rows: int, bits: int, level: str) -> None:
    """Rows of which one element is not zero give a column of the matrix, exactly."""
    depth, target = 48, TARGETS[level]
    workload = few_bits((rows,), depth, 21, bits, depth)
    given = inputs(workload)
    given[3][:] = 0
    kernel = instantiate(workload, target, default(workload, target))
    library = Library([kernel], target)
    for k in range(0, depth, rows):
        given[0][:] = np.eye(rows, depth, k, np.float32)
        found = library.run(0, given, random.Random(k))
        compare(found, reference(workload, given), 0.0, k)


@pytest.mark.parametrize("name", [n for n in CASES if "rounded" not in n])
def test_looking_up_one_by_one_is_the_same(name: str) -> None:
    """As kernels for processors without such units do."""
    if "x86-64-v4" not in RUNNABLE:
        pytest.skip("this processor has no AVX-512")
    target = replace(TARGETS["x86-64-v4"], measured=Costs(4, 2, 2))
    workload, given = CASES[name], inputs(CASES[name], 2)
    chosen = list(schedules(workload, target, 1))
    library = Library([instantiate(workload, target, s) for s in chosen], target)
    want = reference(workload, given)
    with np.errstate(invalid="ignore"):
        limit = 2e-3 + 2e-6 * np.abs(want)
    for i in range(len(chosen)):
        compare(library.run(i, given, random.Random(i)), want, limit, name)


def test_few_rows_have_a_template_of_their_own() -> None:
    target = TARGETS["x86-64-v3"]
    assert default(few_bits((4,), 256, 64, 4, 32), target).template == "few_bits"
    assert default(few_bits((40,), 256, 64, 4, 32), target).template == "few_bits_gemm"
    assert [s.template for s in spaces(few_bits((40,), 256, 64, 4, 32), target)] == [
        "few_bits_gemm"
    ]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_bytes_and_numbers(bits: int) -> None:
    numbers = np.resize(np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)), (4, 64)).astype(np.int8)
    codes = packed(numbers, bits)
    assert codes.dtype == np.int8
    assert codes.nbytes * 8 == numbers.size * bits
    np.testing.assert_array_equal(unpacked(codes, bits), numbers)


def test_packed_weights_take_no_more_memory() -> None:
    workload = few_bits((1,), 256, 64, 4, 32)
    kernel = instantiate(workload, TARGETS["x86-64-v3"], default(workload, TARGETS["x86-64-v3"]))
    given = inputs(workload)
    assert kernel.pack(1, given[1]).nbytes == 256 * 64 // 2
    wide = widened(given[1], given[2], None, 4, 32, 256)
    assert wide.shape == (64, 256)
