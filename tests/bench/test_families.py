"""What bounds a kernel, how near it comes to that, and when Winograd counts for a model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share kernel_entries.py

from kernel_entries import addition, convolution, matrix_product

from bench import kernels, roofline
from bench.families import COMPUTE, MEMORY, NARROW, Call, families, furthest, product
from bench.models import DIGITS
from bench.roofline import Limits

LIMITS = Limits(threads=2, gflops=200.0, gbytes_per_s=20.0)  # ten operations a byte


def call(kernel, milliseconds=1.0, share=0.5, model="m"):
    return Call(model, kernel, milliseconds, share, LIMITS)


# ---- operations ----


@pytest.mark.parametrize(
    ("entries", "applies"),
    [
        ([convolution("conv_direct")], False),
        ([convolution("winograd")], True),
        ([convolution("winograd"), convolution("conv_direct", outputs=64)], True),
        ([convolution("winograd"), convolution("conv_direct", outputs=80)], False),
        ([convolution("winograd", count=2), convolution("conv_direct", outputs=80)], True),
        ([], False),
    ],
)
def test_winograd_applies_from_a_fifth_of_the_direct_operations(entries, applies):
    assert roofline.winograd_applies(entries) is applies


def test_operations_of_a_run_are_the_direct_algorithms():
    entries = [convolution("winograd", count=3), convolution("conv_direct", outputs=32)]
    assert roofline.total_flops(entries) == 2 * 64 * 9 * 16 * (3 * 16 + 32)


@pytest.mark.parametrize(("m", "share"), [(2, 16 / 36), (4, 36 / 144), (6, 64 / 324)])
def test_winograds_own_operations(m, share):
    direct = roofline.own_flops(convolution("conv_direct"))
    assert roofline.own_flops(convolution("winograd", m=m)) == pytest.approx(share * direct)


# ---- bounds ----


@pytest.mark.parametrize(
    ("kernel", "size"),
    [
        (convolution("conv_direct", 16, 32), (144, 32)),
        (convolution("winograd", 16, 32), (16, 32)),
        (convolution("channelwise", 16, 16, groups=16), (9, 1)),
        (matrix_product(3, 5, 7), (5, 7)),
        (addition(100), (0, 0)),
    ],
)
def test_depth_and_columns_of_a_product(kernel, size):
    assert product(kernel) == size


@pytest.mark.parametrize(
    ("kernel", "bound"),
    [
        (matrix_product(256, 256, 256), COMPUTE),
        (matrix_product(256, 256, 63), NARROW),
        (matrix_product(256, 63, 256), NARROW),
        (matrix_product(1, 256, 256), MEMORY),
        (addition(1000), MEMORY),
        (convolution("conv_direct", 64, 64, size=32), COMPUTE),
        (convolution("winograd", 63, 64, size=32), NARROW),
    ],
)
def test_the_bound_of_a_kernel(kernel, bound):
    assert call(kernel).bound == bound


def test_the_floor_is_of_operations_or_bytes():
    square = call(matrix_product(500, 500, 500), milliseconds=2.5)
    assert square.floor == pytest.approx(2 * 500**3 / 200e9 * 1e3)
    assert square.of_limit == pytest.approx(0.5)
    assert call(addition(10_000)).floor == pytest.approx(80_000 / 20e9 * 1e3)


def test_families_are_by_bound_and_template_the_most_time_first():
    calls = [
        call(addition(1_000_000), 1.0, share=0.5),
        call(matrix_product(500, 500, 500), 2.5, share=0.25),
        call(matrix_product(500, 500, 500), 1.25, share=0.25),
        call(convolution("conv_direct", 64, 64, size=32), 1.0, share=1.0, model="other"),
    ]
    lines = families(calls).splitlines()
    assert lines[2] == "| arithmetic | conv_direct | 1 | 50.0% | 38% | 38% | 38% |"
    assert lines[3] == "| arithmetic | gemm | 2 | 25.0% | 50% | 75% | 100% |"
    assert lines[4] == "| memory | pointwise | 1 | 25.0% | 40% | 40% | 40% |"


def test_the_furthest_from_their_floors_over_all_calls():
    calls = [
        call(addition(1_000_000), 1.0),
        call(matrix_product(500, 500, 500), 1.75),
        call(matrix_product(500, 500, 500), 1.75),
    ]
    first, second = furthest(calls).splitlines()[2:]
    assert "`matmul(float32[500,500], float32[500,500]) -> float32[500,500]`" in first
    assert first.endswith("| gemm | arithmetic | 2 | 3.500 | 2.500 | 1.000 |")
    assert second.endswith("| pointwise | memory | 1 | 1.000 | 0.400 | 0.600 |")


def test_only_the_furthest_are_listed():
    calls = [call(addition(n)) for n in range(1, 21)]
    assert len(furthest(calls).splitlines()) == 2 + 10


def test_a_model_is_profiled_call_by_call():
    calls = kernels.profiled("digits", DIGITS, threads=1, seconds=0.05)
    assert sum(c.share for c in calls) == pytest.approx(1)
    assert {c.model for c in calls} == {"digits"}
    assert all(c.limits == calls[0].limits for c in calls)
    assert any(product(c.kernel) == (144, 32) for c in calls)
    assert families(calls)
