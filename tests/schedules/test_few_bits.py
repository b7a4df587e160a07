"""Products with matrices of few bits: right for every block, number of rows, level and extreme."""

from __future__ import annotations

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, in_turn, verify
from coded_workloads import few_bits, halves

from luthier.schedules import Workload
from luthier.schedules.ops.few_bits import packed, unpacked, widened
from luthier.schedules.templates.registry import default, instantiate, spaces


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
}


@pytest.mark.parametrize(("name", "level"), in_turn(CASES))
def test_edges(name: str, level: str) -> None:
    verify(CASES[name], level, inputs=inputs(CASES[name]), absolute=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("name", CASES)
def test_edges_on_every_level(name: str, level: str) -> None:
    verify(CASES[name], level, inputs=inputs(CASES[name], 1), absolute=2e-3)


def test_what_is_not_finite_stays_in_its_row() -> None:
    workload = few_bits((4,), 64, 24, 4, 32, zeros=True)
    given = inputs(workload)
    given[0][1, 3], given[0][2, 40] = np.inf, np.nan
    given[2][:] = np.abs(given[2]) + 0.1
    verify(workload, RUNNABLE[-1], inputs=given, absolute=2e-3)


def test_few_rows_have_a_template_of_their_own() -> None:
    target = TARGETS["x86-64-v3"]
    assert default(few_bits((4,), 256, 64, 4, 32), target).template == "few_bits"
    assert default(few_bits((40,), 256, 64, 4, 32), target).template == "few_bits_gemm"
    assert [s.template for s in spaces(few_bits((40,), 256, 64, 4, 32), target)] == [
        "few_bits_gemm"
    ]


@pytest.mark.parametrize("bits", [4, 8])
def test_bytes_and_numbers(bits: int) -> None:
    numbers = np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)).astype(np.int8).reshape(4, -1)
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
