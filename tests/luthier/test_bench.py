"""What ``bench`` reports, and how much arithmetic a kernel is. No test asserts a speed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

import luthier
from luthier._bandwidth import peak_bandwidth
from luthier._flops import flops
from luthier._peak import peak_gflops
from luthier._traffic import traffic
from luthier.schedules import Node, Target, Tensor, Workload, node
from luthier.schedules.target import host


def test_times_are_of_single_runs_in_order(artifact_folder):
    report = luthier.bench(artifact_folder, seconds=0.05, threads=2)
    assert report.folder == artifact_folder
    assert report.threads == 2
    assert report.runs >= 10
    assert 0 < report.minimum <= report.q1 <= report.median <= report.q3 < math.inf
    assert report.kernels == ()


def test_rates_follow_from_the_times(artifact_folder):
    report = luthier.bench(artifact_folder, seconds=0.05)
    work = 2 * 2 * 5 * 8 + 2 * 5 + 2 * 5 + 2 * 5  # the product, the shift, relu, the sum
    assert report.gflop == pytest.approx(work / 1e9)
    assert report.gflops == pytest.approx(report.gflop / (report.median / 1e3))
    assert report.peak_gflops > 0
    assert report.fraction_of_peak == pytest.approx(report.gflops / report.peak_gflops)


def test_kernels_are_timed_on_demand_slowest_first(artifact_folder):
    report = luthier.bench(artifact_folder, seconds=0.05, kernels=True)
    times = [k.milliseconds for k in report.kernels]
    assert times == sorted(times, reverse=True)
    assert sorted(k.step for k in report.kernels) == [0, 1]
    assert sum(k.share for k in report.kernels) == pytest.approx(1)
    product = next(k for k in report.kernels if k.step == 0)
    assert product.kernel.startswith("matmul+add+relu(")
    assert product.schedule.startswith("gemm")
    assert product.source
    assert product.origin == "default"
    assert product.fraction_of_peak == pytest.approx(product.gflops / report.peak_gflops)
    moved = 4 * (2 * 8 + 8 * 5 + 5 + 2 * 5)  # x, weights, shift, output
    assert product.gbytes_per_s == pytest.approx(moved / (product.milliseconds / 1e3) / 1e9)
    rate = product.gbytes_per_s / report.peak_bandwidth
    assert product.fraction_of_bandwidth == pytest.approx(rate)


def test_by_default_with_the_threads_that_a_run_would_have(artifact_folder, monkeypatch):
    monkeypatch.setattr("luthier.deploy.artifact.available_cores", lambda: 1)
    assert luthier.bench(artifact_folder, seconds=0.05).threads == 1


@pytest.mark.parametrize("seconds", [0, -1, math.nan, 4000])
def test_senseless_times(artifact_folder, seconds):
    with pytest.raises(luthier.UsageError, match="seconds must be above 0 and at most 3600"):
        luthier.bench(artifact_folder, seconds=seconds)


def test_no_artifact(tmp_path):
    with pytest.raises(luthier.ArtifactError, match="is this an artifact"):
        luthier.bench(tmp_path / "nothing")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", ["x86-64-v2", "host"])
def test_the_machines_limits_are_measured(level, threads):
    target = replace(host(), threads=threads)
    if level != "host":
        target = Target(level, level, threads)
    assert 0.1 < peak_gflops(target, seconds=0.001) < 10_000
    assert 0.1 < peak_bandwidth(target, nbytes=1 << 20) < 10_000


def test_memory_is_read_even_where_the_buffer_is_less_than_a_chunk_for_each_thread():
    assert peak_bandwidth(host(3), nbytes=1) > 0


@pytest.mark.parametrize("limit", [peak_gflops, peak_bandwidth])
def test_no_linker_no_limits(limit, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(luthier.ToolchainError, match="no linker"):
        limit(host(1))


# ---- arithmetic ----


def workload(inputs: list[Tensor], *nodes: Node) -> Workload:
    return Workload(tuple(inputs), (False,) * len(inputs), nodes)


def test_a_matrix_product_counts_two_for_each_multiply_add():
    a, b, out = Tensor((7, 11)), Tensor((11, 5)), Tensor((7, 5))
    assert flops(workload([a, b], node("matmul", (0, 1), out))) == 2 * 7 * 5 * 11


def test_a_batch_of_products_and_a_transposed_one():
    a, b, out = Tensor((3, 7, 11)), Tensor((3, 5, 11)), Tensor((3, 7, 5))
    product = node("matmul", (0, 1), out, transpose_b=True)
    assert flops(workload([a, b], product)) == 2 * 3 * 7 * 5 * 11


def conv(groups: int, out: Tensor, weights: Tensor, op: str = "conv2d") -> Node:
    return node(op, (0, 1), out, strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=groups)


def test_a_convolution_counts_as_the_direct_one():
    x, w, out = Tensor((1, 56, 56, 64)), Tensor((128, 3, 3, 64)), Tensor((1, 56, 56, 128))
    assert flops(workload([x, w], conv(1, out, w))) == 2 * 56 * 56 * 128 * 3 * 3 * 64


def test_a_depthwise_convolution():
    x, w = Tensor((1, 20, 20, 32)), Tensor((32, 3, 3, 1))
    assert flops(workload([x, w], conv(32, x, w))) == 2 * 20 * 20 * 32 * 9


def test_a_transposed_convolution_has_taps_for_each_input():
    x, w, out = Tensor((1, 8, 8, 6)), Tensor((6, 3, 3, 4)), Tensor((1, 8, 8, 4))
    node_ = conv(1, out, w, "conv2d_transpose")
    assert flops(workload([x, w], node_)) == 2 * (8 * 8 * 6) * (3 * 3 * 4)


@pytest.mark.parametrize(
    ("op", "attributes", "each"),
    [
        ("sum", {"axes": (1,), "keepdims": False}, 1),
        ("mean", {"axes": (1,), "keepdims": False}, 1),
        ("softmax", {"axis": 1}, 4),
        ("log_softmax", {"axis": 1}, 4),
    ],
)
def test_reductions_count_their_input(op, attributes, each):
    x = Tensor((6, 10))
    out = x if "softmax" in op else Tensor((6,))
    assert flops(workload([x], node(op, (0,), out, **attributes))) == each * 60


def test_pooling_counts_one_for_each_tap():
    x, out = Tensor((1, 8, 8, 3)), Tensor((1, 4, 4, 3))
    pool = node(
        "max_pool2d", (0,), out,
        kernel=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0), dilations=(1, 1),
    )  # fmt: skip
    assert flops(workload([x], pool)) == 4 * 4 * 3 * 4


def test_elementwise_operators_count_their_output_and_casts_nothing():
    x = Tensor((6, 10))
    chain = [node("add", (0, 0), x), node("relu", (1,), x)]
    cast = node("cast", (2,), Tensor((6, 10), "float64"))
    assert flops(workload([x], *chain)) == 120
    assert flops(workload([x], *chain, cast)) == 120


def test_data_movement_counts_nothing():
    x, out = Tensor((6, 10)), Tensor((10, 6))
    assert flops(workload([x], node("transpose", (0,), out, axes=(1, 0)))) == 0


def test_a_whole_model(tmp_path: Path):
    digits = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"
    luthier.build(digits, tmp_path / "digits", log=None)
    with luthier.load(tmp_path / "digits") as artifact:
        kernels = artifact.manifest.kernels
    products = 2 * (64 * 8 * 9 + 64 * 16 * 72 + 16 * 32 * 144 + 128 * 32 + 32 * 10)
    total = sum(flops(k.workload) * k.count for k in kernels)
    assert products < total < 1.05 * products


# ---- bytes ----


def test_inputs_and_output_count_once_each():
    a, b, out = Tensor((7, 11)), Tensor((11, 5)), Tensor((7, 5))
    chain = [node("matmul", (0, 1), out), node("add", (2, 2), out)]
    assert traffic(workload([a, b], *chain)) == 4 * (7 * 11 + 11 * 5 + 7 * 5)


def test_an_input_that_is_read_twice_counts_once():
    x = Tensor((6, 10))
    assert traffic(workload([x], node("add", (0, 0), x))) == 2 * 240


def test_a_table_counts_as_much_as_is_looked_up():
    table, ids, out = Tensor((1000, 8)), Tensor((3,), "int64"), Tensor((3, 8))
    look_up = node("take", (0, 1), out, axis=0)
    assert traffic(workload([table, ids], look_up)) == 2 * 96 + 24
    both = [look_up, node("sum", (0,), Tensor(()), axes=(0, 1), keepdims=False)]
    assert traffic(workload([table, ids], *both)) == 32000 + 24 + 4


def test_looking_up_more_than_there_is_reads_it_all():
    table, ids, out = Tensor((2, 8)), Tensor((3,), "int64"), Tensor((3, 8))
    assert traffic(workload([table, ids], node("take", (0, 1), out, axis=0))) == 64 + 24 + 96
