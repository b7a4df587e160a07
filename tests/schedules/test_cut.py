"""How products are cut into chunks, and which rows share sets of a cache: analytic models."""

from __future__ import annotations

from dataclasses import replace

import pytest
from caller import TARGETS
from workloads import conv, matmul, separable

from luthier.schedules import Target
from luthier.schedules.templates.conv.form import Conv
from luthier.schedules.templates.gemm.cut import Grid
from luthier.schedules.templates.gemm.form import Gemm
from luthier.schedules.templates.separable.form import Separable
from luthier.schedules.templates.sets import crowd_l1, crowd_l2

TARGET = TARGETS["x86-64-v3"]
ZEN4, RAPIDS = (
    Target("x86-64-v4", cpu, 2, l1=l1 << 10, l2=l2 << 10)
    for cpu, l1, l2 in (("znver4", 32, 1024), ("emeraldrapids", 48, 2048))
)


def gemm(m: int, n: int, k: int, target: Target = TARGET, **how: bool) -> Gemm:
    b = (n, k) if how.get("transpose_b") else (k, n)
    form = Gemm.match(matmul((m, k), b, **how), target)
    assert form is not None
    return form


def chunks(form: Gemm) -> int:
    return int(form.loops(form.default()).chunks)


def test_what_is_over_before_threads_have_met_is_one_chunk() -> None:
    assert chunks(gemm(31, 29, 53)) == chunks(gemm(16, 16, 16)) == 1


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("sizes", [(5, 384, 384), (20, 85, 1016), (384, 1000, 1024), (49, 64, 512)])
def test_no_thread_waits_for_long(sizes: tuple[int, int, int], threads: int) -> None:
    form = gemm(*sizes, target=replace(TARGET, threads=threads))
    count = chunks(form)
    assert count >= 2 * threads or count % threads == 0
    assert -(-count // threads) * threads / count < 1.35


def test_one_thread_has_no_use_for_chunks() -> None:
    assert chunks(gemm(128, 64, 64, replace(TARGET, threads=1))) == 1


def test_panels_that_chunks_copy_are_cut_by_columns() -> None:
    """So that each is copied once, and not for each block of rows."""
    form = gemm(128, 128, 128, transpose_b=True, constant=False)
    knobs = form.default()
    assert knobs.m_block * knobs.rows >= 128
    assert chunks(form) > 1


def test_more_threads_are_not_slower() -> None:
    grid = Grid(batch=1, tiles=40, panels=30, work=2000, a=8000, b=16000)
    targets = [replace(TARGET, threads=n) for n in (1, 2, 4, 8)]
    cuts = [grid.cut(target, rows_outside=True) for target in targets]
    times = [
        grid.cycles(*cut, target, rows_outside=True)
        for cut, target in zip(cuts, targets, strict=True)
    ]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("apart", "rows", "crowded"),
    [
        (4096, 6, False),  # all in one set, of eight ways
        (4096, 7, True),
        (3 * 4096, 8, True),
        (4096 + 64, 8, False),
        (2048, 12, False),  # two sets
        (2048, 13, True),
        (3072, 24, False),
        (4, 384, False),  # lines next to one another
    ],
)
def test_rows_a_page_apart_share_a_set(apart: int, rows: int, crowded: bool) -> None:
    assert crowd_l1(rows, apart, TARGET) == crowded


def test_a_panel_of_rows_a_page_apart_has_one_set_of_64() -> None:
    assert TARGET.l2 == 512 << 10
    assert crowd_l2(16 << 10, 4096, TARGET)
    assert not crowd_l2(8 << 10, 4096, TARGET)
    assert not crowd_l2(256 << 10, 4096 + 64, TARGET)


def test_rows_that_share_a_set_are_not_asked_for_ahead() -> None:
    assert gemm(512, 256, 768).default().ahead
    assert not gemm(512, 256, 1024).default().ahead
    assert not gemm(512, 256, 3072).default().ahead


@pytest.mark.parametrize(("m", "k"), [(1024, 128), (512, 768)])
def test_rows_that_leave_l1_again_are_asked_for_where_that_costs_nothing(m: int, k: int) -> None:
    """Beside a panel that L1 does not hold; memory is so slow that it is worth it anyway."""
    zen3 = replace(TARGET, cpu="znver3")
    assert zen3.costs.asked > 0
    assert TARGET.costs.asked == 0
    long = k > 512
    assert gemm(m, 256, k).default().ahead
    assert bool(gemm(m, 256, k, zen3).default().ahead) != long
    assert gemm(m, 256, k, replace(zen3, l3=1 << 20)).default().ahead


@pytest.mark.parametrize("k", [64, 512])
def test_long_rows_are_not_joined_where_reading_them_again_costs(k: int) -> None:
    """Each block of the second convolution's channels reads all of the first's rows."""
    pair = separable((1, 14, 14, k), 512, (3, 3), pads=(1, 1, 1, 1))
    zen3 = Separable.match(pair, replace(TARGET, cpu="znver3", threads=1))
    assert zen3
    assert (zen3.saves > 0) == (k < 512)


@pytest.mark.parametrize(("level", "rows"), [("x86-64-v3", 6), ("x86-64-v4", 6)])
def test_tiles_have_as_many_rows_as_a_set_of_l1_has_room_for(level: str, rows: int) -> None:
    """Where rows lie pages apart, and the tile would be high since it is narrow."""
    form = gemm(384, TARGETS[level].vector_bytes // 4, 4096, TARGETS[level])
    chosen = form.default().rows
    assert not crowd_l1(chosen, 4 * 4096, TARGETS[level])
    assert chosen >= rows
    near = gemm(384, TARGETS[level].vector_bytes // 4, 4096 + 16, TARGETS[level])
    assert near.default().rows > chosen


def test_a_panel_whose_lines_share_sets_is_copied_for_many_rows() -> None:
    assert gemm(128, 1024, 256, constant=False).default().order == "copied"
    assert gemm(8, 1024, 256, constant=False).default().order != "copied"
    assert gemm(128, 64, 64, constant=False).default().order != "copied"
    whole = gemm(197, 64, 197, TARGETS["x86-64-v4"], constant=False)  # rows of B follow one another
    assert whole.default().order != "copied"
    assert gemm(128, 1024, 256).default().order != "copied"  # packed when it is built


def test_a_panel_of_long_rows_lies_as_it_is_where_l2_keeps_pace() -> None:
    """One multiply-add a cycle asks for half of the bytes that two do."""
    assert gemm(256, 96, 300, RAPIDS, constant=False).default().order == "copied"
    assert gemm(256, 96, 300, ZEN4, constant=False).default().order != "copied"
    assert gemm(128, 1024, 256, ZEN4, constant=False).default().order == "copied"  # sets


def test_weights_of_few_rows_are_asked_for_unless_loads_begin_early_enough() -> None:
    def asks(rows: int, target: Target) -> bool:
        form = gemm(rows, 768, 3072, target)
        return form.streams(form.default())

    assert [asks(rows, ZEN4) for rows in (1, 2, 5)] == [False, False, True]
    assert [asks(rows, RAPIDS) for rows in (1, 2, 5)] == [True] * 3
    assert [asks(rows, TARGET) for rows in (1, 2, 5)] == [True] * 3


@pytest.mark.parametrize(("channels", "stride"), [(512, 2), (1024, 1), (1024, 3)])
def test_outputs_whose_windows_share_a_set_are_few_in_a_tile(channels: int, stride: int) -> None:
    def widest(channels: int) -> int:
        workload = conv((1, 1, 800, channels), 64, (1, 3), strides=(1, stride))
        form = Conv.match(workload, ZEN4)
        assert form is not None
        return form.default().tile_w

    assert not crowd_l1(widest(channels), 4 * channels * stride, ZEN4)
    assert crowd_l1(widest(channels + 16), 4 * channels * stride, ZEN4)


@pytest.mark.parametrize("channels", [16, 24, 32, 64])
@pytest.mark.parametrize("size", [3, 7])
def test_outputs_that_share_what_they_read_leave_registers_for_it(size: int, channels: int) -> None:
    """In a model's first layer LLVM holds what one output has read until the next one needs it."""
    first = conv((1, 224, 224, 3), channels, (size, size), strides=(2, 2), pads=(size // 2,) * 4)
    form = Conv.match(first, TARGET)
    assert form
    width, vectors = form.default()[:2]
    assert width * vectors >= TARGET.costs.sums
    assert width * vectors + width + vectors <= TARGET.vector_registers


def test_threads_write_lines_of_their_own() -> None:
    """Columns of an outer product would share lines where rows do not end with them; rows do
    not. Where all lines are whole, it does not matter."""
    two = replace(TARGET, threads=2)
    form = gemm(1000, 1000, 1, two, constant=False)
    assert form.default().m_block * form.default().rows < 1000
    shared = Grid(batch=1, tiles=100, panels=16, work=40, a=40, b=256, constant=False, lines=1000)
    assert shared.cycles(128, 1, two, True) > shared.cycles(8, 16, two, True) + 100_000
    whole = replace(shared, lines=0)
    assert whole.cycles(128, 1, two, True) < whole.cycles(8, 16, two, True)
