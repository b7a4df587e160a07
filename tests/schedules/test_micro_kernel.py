"""What a register tile's instruction multiplies, and in which order it wants B."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from luthier.schedules.emit.micro_kernel import FLOAT32_MULTIPLY_ADD
from luthier.schedules.ir.dtype import DTYPES, FLOAT32

INT8 = DTYPES["int8"]
BY_FOUR = replace(FLOAT32_MULTIPLY_ADD, a=DTYPES["uint8"], b=INT8, steps=4)  # as VNNI


def test_float32_is_added_up_in_float32_a_step_at_a_time():
    micro = FLOAT32_MULTIPLY_ADD
    assert (micro.a, micro.b, micro.accumulator, micro.steps) == (FLOAT32, FLOAT32, FLOAT32, 1)
    assert micro.emit(1.0, 2.0, 3.0) == 7.0


def test_an_instruction_fills_a_sum_with_its_steps():
    for micro in (FLOAT32_MULTIPLY_ADD, BY_FOUR):
        assert micro.b.bits * micro.steps == micro.accumulator.bits


@pytest.mark.parametrize("micro", [FLOAT32_MULTIPLY_ADD, BY_FOUR], ids=["one", "four"])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (7, 5), (8, 16), (9, 17)])
def test_the_steps_of_a_panel_lie_side_by_side(micro, k: int, n: int):
    matrix = np.arange(1, k * n + 1).reshape(k, n)
    packed, width = micro.pack(matrix, 8), 8
    assert packed.shape == micro.packed_shape(k, n, width)
    assert packed.flags.c_contiguous
    for place, found in np.ndenumerate(packed.reshape(*packed.shape[:2], width, micro.steps)):
        panel, block, column, step = place
        row, column = block * micro.steps + step, panel * width + column
        assert found == (matrix[row, column] if row < k and column < n else 0)
