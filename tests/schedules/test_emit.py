"""What templates are written with."""

from __future__ import annotations

import math
import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm import tirx
from workloads import Builder

from luthier.schedules import ScheduleError, Tensor
from luthier.schedules.emit.braid import braid
from luthier.schedules.emit.builder import PhaseBuilder, Slot
from luthier.schedules.templates.collapse import collapse
from luthier.schedules.tir.indices import divide, modulo, split_index, tail
from luthier.schedules.tir.point import Point, broadcast_point, flatten


@given(begin=st.integers(0, 40), size=st.integers(0, 200), lanes=st.sampled_from([1, 2, 4, 8, 16]))
def test_a_tail_is_covered_by_halving_vectors(begin, size, lanes):
    parts = tail(begin, begin + size, lanes)
    assert sum(width for _, width in parts) == size
    widths = [width for _, width in parts]
    assert widths == sorted(widths, reverse=True)
    assert all(width in (1, 2, 4, 8, 16) and width <= lanes for width in widths)
    at = begin
    for offset, width in parts:
        assert offset == at
        at += width


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.data())
def test_coordinates_and_positions_are_inverse(shape, data):
    index = data.draw(st.integers(0, math.prod(shape) - 1))
    coords = split_index(index, shape)
    assert all(0 <= c < n for c, n in zip(coords, shape, strict=True))
    assert flatten(tuple(coords), tuple(shape)) == index
    assert Point(tuple(shape), flat=index).coordinates == tuple(coords)
    assert Point(tuple(shape), tuple(coords)).linear == index


@given(st.integers(0, 1000), st.integers(1, 50))
def test_division_by_one_leaves_no_trace(index, divisor):
    assert divide(index, divisor) * divisor + modulo(index, divisor) == index
    x = tirx.Var("x", "int32")
    assert divide(x, 1) is x
    assert modulo(x, 1) == 0


def test_broadcasting_reads_the_element_that_numpy_reads():
    point = Point((2, 3, 4), (1, 2, 3))
    assert broadcast_point(point, (2, 3, 4)) is point
    assert broadcast_point(point, (3, 4)).coordinates == (2, 3)
    assert broadcast_point(point, (2, 1, 4)).coordinates == (1, 0, 3)
    assert broadcast_point(point, (1,)).linear == 0
    assert broadcast_point(point, ()).linear == 0


def test_dimensions_merge_where_every_operand_spans_both():
    b = Builder()
    x = b.input((2, 1, 3, 4, 5))
    y = b.add("add", x, b.input((4, 5)))
    b.add("multiply", y, b.input((3, 1, 1)))
    merged = collapse(b.workload)
    assert merged.output.shape == (2, 3, 20)
    assert [t.shape for t in merged.inputs] == [(2, 3, 20), (20,), (3, 1)]
    assert collapse(b.workload, keep_last=True).output.shape == (2, 3, 4, 5)


def test_tensors_beyond_32_bit_indices_are_refused():
    most = 2**31 - 1
    assert PhaseBuilder([Slot(0, "x", Tensor((most,), "int8"))])["x"].shape[0] == most
    with pytest.raises(ScheduleError, match="32-bit"):
        PhaseBuilder([Slot(0, "x", Tensor((most + 1,), "int8"))])


def test_bounds_of_loops_prove_conditions():
    builder = PhaseBuilder([])
    with builder.loop(10, "i", 5) as i, builder.vector(4) as lane:
        assert builder.proves(i * 4 + lane >= 20)
        assert builder.proves(i * 4 + lane < 60)
        assert not builder.proves(i * 4 + lane < 59)
    with builder.chunk_loop() as chunk:
        assert not builder.proves(chunk >= 0)


def test_a_loop_that_runs_once_leaves_no_trace():
    builder = PhaseBuilder([])
    with builder.loop(1, "i", 7) as i:
        assert i == 7
    with builder.vector(1) as lane:
        assert lane == 0


def test_braided_statements_take_turns() -> None:
    builder = PhaseBuilder([Slot(0, "x", Tensor((8,)))])

    def write(*places: int) -> None:
        for place in places:
            builder.store(builder["x"], place, tirx.const(1.0, "float32"))

    with builder.chunk_loop():
        braid(builder, [partial(write, 0, 1), partial(write, 4, 5, 6)])
    stores = re.findall(r"x\[(\d)\]", builder.finish(1).func.script())
    assert stores == ["0", "4", "1", "5", "6"]
