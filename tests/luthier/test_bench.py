"""What ``bench`` reports. No test asserts a speed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

import luthier
from luthier.autotune.measure.noise import Watch
from luthier.machine.bandwidth import peak_bandwidth
from luthier.machine.peak import peak_gflops, peak_gops
from luthier.schedules import Target
from luthier.schedules.ops.counts import flops
from luthier.schedules.target import host


def test_times_are_of_single_runs_in_order(artifact_folder):
    report = luthier.bench(artifact_folder, seconds=0.05, threads=2)
    assert report.folder == artifact_folder
    assert report.threads == 2
    assert report.runs >= 10
    assert 0 < report.minimum <= report.q1 <= report.median <= report.q3 < math.inf
    assert report.kernels == ()


@pytest.mark.usefixtures("quiet")
def test_rates_follow_from_the_times(artifact_folder):
    report = luthier.bench(artifact_folder, seconds=0.05)
    work = 2 * 2 * 5 * 8 + 2 * 5 + 2 * 5 + 2 * 5  # the product, the shift, relu, the sum
    assert report.gflop == pytest.approx(work / 1e9)
    assert report.gflops == pytest.approx(report.gflop / (report.median / 1e3))
    assert report.peak_gflops > 0
    assert report.fraction_of_peak == pytest.approx(report.gflops / report.peak_gflops)


@pytest.mark.usefixtures("quiet")
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


class Pulses:
    """A watch on a machine that is busy or quiet throughout."""

    def __init__(self, busy: bool) -> None:
        self._busy = busy

    def __call__(self, threads: int) -> Pulses:
        return self

    def __enter__(self) -> Pulses:
        return self

    def __exit__(self, *ended: object) -> None:
        pass

    def over(self, work):
        return work(), self._busy


@pytest.fixture
def quiet(monkeypatch):
    """Whatever else runs while these tests do."""
    monkeypatch.setattr("luthier.machine.bench.Watch", Pulses(busy=False))


def test_a_busy_machine_has_no_share_of_the_peak(artifact_folder, monkeypatch, cli):
    monkeypatch.setattr("luthier.machine.bench.Watch", Pulses(busy=True))
    report = luthier.bench(artifact_folder, seconds=0.05, kernels=True)
    assert report.busy
    assert report.fraction_of_peak is None
    assert {k.fraction_of_peak for k in report.kernels} == {None}
    assert {k.fraction_of_bandwidth for k in report.kernels} == {None}
    done = cli("bench", artifact_folder, "--seconds", "0.05", "--kernels")
    assert "busy machine" in done.out
    assert "an unknown share of this machine's measured" in done.out
    shares = [line for line in done.out.splitlines() if " default " in line]
    assert all(line.count("busy") == 2 for line in shares)
    assert len(shares) == 2


class TestWatch:
    @pytest.fixture
    def watch(self, monkeypatch):
        """A watch whose pulses take the given times."""
        pulses = [1.0]

        class Harness:
            def __init__(self, path: str) -> None:
                pass

            def start(self, threads: int) -> None:
                pass

            def stop(self) -> None:
                pass

            def pulse(self) -> float:
                return pulses[0]

        monkeypatch.setattr("luthier.autotune.measure.noise.Harness", Harness)
        monkeypatch.setattr("luthier.autotune.measure.noise.compile_harness", lambda folder: folder)
        with Watch(2) as opened:
            yield opened, pulses

    def test_on_a_quiet_machine_work_is_done_once(self, watch):
        opened, _ = watch
        done = []
        assert opened.over(lambda: done.append(1)) == (None, False)
        assert done == [1]

    def test_disturbed_work_is_done_once_more(self, watch):
        opened, pulses = watch
        done = []

        def work() -> int:
            done.append(1)
            pulses[0] = 1.5
            return len(done)

        pulses[0] = 1.05
        result, busy = opened.over(work)
        assert (result, len(done)) == (2, 2)
        assert busy

    def test_real_pulses_leave_nothing(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with Watch(2) as opened:
            assert opened.over(lambda: 7)[0] == 7
        opened.close()
        assert list(tmp_path.iterdir()) == []


def test_more_threads_than_cores_are_not_timed(artifact_folder, monkeypatch):
    monkeypatch.setattr("luthier.schedules.target.machine.available_cores", lambda: 1)
    with pytest.raises(luthier.TargetError, match="2 threads cannot be timed here"):
        luthier.bench(artifact_folder, seconds=0.05, threads=2)


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_impossible_threads(artifact_folder, threads):
    with pytest.raises(luthier.UsageError):
        luthier.bench(artifact_folder, seconds=0.05, threads=threads)


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
    assert 0.1 < peak_gops(target, seconds=0.001) < 100_000
    assert 0.1 < peak_bandwidth(target, nbytes=1 << 20) < 10_000


def test_memory_is_read_even_where_the_buffer_is_less_than_a_chunk_for_each_thread():
    assert peak_bandwidth(host(3), nbytes=1) > 0


@pytest.mark.parametrize("limit", [peak_gflops, peak_bandwidth])
def test_without_a_linker_no_limits_are_measured(limit, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(luthier.ToolchainError, match="no linker"):
        limit(host(1))


def test_the_arithmetic_of_a_whole_model(tmp_path: Path):
    digits = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"
    luthier.build(digits, tmp_path / "digits", log=None)
    with luthier.load(tmp_path / "digits") as artifact:
        kernels = artifact.manifest.kernels
    products = 2 * (64 * 8 * 9 + 64 * 16 * 72 + 16 * 32 * 144 + 128 * 32 + 32 * 10)
    total = sum(flops(k.workload) * k.count for k in kernels)
    assert products < total < 1.05 * products
