"""What this machine is, and whether all is here that Luthier needs."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

import luthier
from luthier.machine.doctor import TVM_PAIR
from luthier.machine.target import resolve
from luthier.machine.target_file import read_target
from luthier.schedules import Target
from luthier.schedules.target import available_cores, host
from luthier.schedules.target.costs import Costs

# ---- target ----


def test_the_host():
    machine = luthier.target()
    assert machine.target == "host"
    assert machine.level.startswith("x86-64-v")
    assert machine.threads == available_cores()
    assert 1 <= machine.physical_cores <= machine.logical_cores
    assert machine.logical_cores >= machine.threads
    assert machine.memory > 1 << 28
    assert 1 << 12 <= machine.l1 <= machine.l2 <= machine.l3
    assert machine.vector_bits in (128, 256, 512)
    assert machine.vector_registers in (16, 32)
    assert set(machine.features) >= {"sse3", "popcnt"}


@pytest.mark.parametrize(
    ("level", "bits", "registers", "last"),
    [
        ("x86-64-v2", 128, 16, "popcnt"),
        ("x86-64-v3", 256, 16, "bmi2"),
        ("x86-64-v4", 512, 32, "avx512vl"),
    ],
)
def test_a_level(level, bits, registers, last):
    machine = luthier.target(level, threads=3)
    assert (machine.target, machine.level, machine.cpu) == (level, level, level)
    assert (machine.vector_bits, machine.vector_registers) == (bits, registers)
    assert machine.features[-1] == last
    assert machine.threads == 3
    assert machine.llvm == luthier.target().llvm


# ---- a measured target ----


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """A file with what this machine was measured to reach, and that."""
    path = tmp_path_factory.mktemp("box") / "box.json"
    return path, luthier.target(threads=1, measure=True, out=path)


def test_what_is_measured(box):
    found = box[1].measured
    assert 0.1 < found.gflops < 10_000
    assert 0.1 < found.integer_gops < 100_000
    assert found.l2_gbytes_per_s > 0.1
    assert found.l3_gbytes_per_s > 0.1
    assert found.memory_gbytes_per_s > 0.1
    assert found.costs.latency >= 1
    assert found.costs.multiply_adds >= 1
    assert luthier.target().measured is None


def test_default_schedules_go_by_a_measured_target(box):
    path, machine = box
    named = resolve(str(path))
    assert named.costs == machine.measured.costs
    assert named == replace(host(1), measured=machine.measured.costs)
    assert named.machine == host(1).machine  # as records know it
    assert resolve(str(path), threads=3).threads == 3
    assert luthier.target(str(path)).target == str(path)


def test_a_model_is_built_for_a_measured_target(box, tmp_path):
    digits = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"
    report = luthier.build(digits, tmp_path / "digits", target=str(box[0]), log=None)
    with luthier.load(report.folder) as artifact:
        assert artifact.manifest.target == host(1)


COSTS = Costs(4, 2).to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "its schema is 2; this version reads 1"),
        ({"target": {}}, "malformed target"),
        ({"target": []}, "malformed target"),
        ({"target": host(1).to_json() | {"threads": 9999}}, "threads must be between 1 and 1024"),
        ({"costs": None}, "costs are an object of latency"),
        ({"costs": COSTS | {"more": 1}}, "costs are an object of latency"),
        ({"costs": COSTS | {"latency": 0}}, "'latency' of a target's costs is out of range"),
        ({"costs": COSTS | {"latency": 4.5}}, "'latency' of a target's costs is not a number"),
        ({"costs": COSTS | {"window": 1.5}}, "'window' of a target's costs is not a number"),
        ({"costs": COSTS | {"window": -1}}, "'window' of a target's costs is out of range"),
        ({"costs": COSTS | {"passed_on": "1"}}, "'passed_on' of a target's costs is not a number"),
        ({"costs": COSTS | {"passed_on": True}}, "'passed_on' of a target's costs is not a number"),
        ({"costs": COSTS | {"fetched_byte": 1e300}}, "'fetched_byte' of a target's costs is out"),
        (
            {"costs": COSTS | {"fetched_byte": math.nan}},
            "'fetched_byte' of a target's costs is out",
        ),
    ],
)
def test_a_file_that_is_not_a_target(change, message, tmp_path):
    path = tmp_path / "box.json"
    whole = {"schema": 1, "target": host(1).to_json(), "costs": COSTS} | change
    path.write_text(json.dumps(whole))
    with pytest.raises(luthier.TargetError, match=rf"box\.json: .*{message}"):
        luthier.target(str(path))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff", b"[" * 60_000, b'{"schema": 1, "schema": 1}', b" " * 99_999]
)
def test_a_file_that_is_not_json(data, tmp_path):
    path = tmp_path / "box.json"
    path.write_bytes(data)
    with pytest.raises(luthier.TargetError, match=r"box\.json is not a target as 'luthier target"):
        luthier.target(str(path))


def test_a_file_of_costs_without_bfloat16(tmp_path):
    """As files were before there was that."""
    path = tmp_path / "box.json"
    costs = {name: number for name, number in COSTS.items() if name != "bfloat16"}
    whole = {"schema": 1, "target": host(1).to_json(), "costs": costs}
    path.write_text(json.dumps(whole))
    assert read_target(path).costs == Costs(4, 2)


def test_a_target_file_that_is_not_there(tmp_path):
    with pytest.raises(luthier.TargetError, match=r"no\.json cannot be read: No such file"):
        luthier.target(str(tmp_path / "no.json"))
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(luthier.TargetError, match=r"pipe\.json cannot be read"):
        luthier.target(str(tmp_path / "pipe.json"))


def test_where_a_target_is_not_kept(tmp_path):
    with pytest.raises(luthier.UsageError, match="it goes with measure"):
        luthier.target(out=tmp_path / "box.json")
    with pytest.raises(luthier.UsageError, match=r"a target's file ends in \.json"):
        luthier.target(threads=1, measure=True, out=tmp_path / "box.txt")
    with pytest.raises(luthier.UsageError, match="cannot be written"):
        luthier.target(threads=1, measure=True, out=tmp_path / "no" / "box.json")


def test_more_threads_than_cores_are_not_measured():
    with pytest.raises(luthier.TargetError, match="threads cannot be timed here"):
        luthier.target(threads=1024, measure=True)


def test_what_this_machine_lacks_is_not_measured(monkeypatch):
    monkeypatch.setattr("luthier.schedules.target.machine.host_features", frozenset)
    with pytest.raises(luthier.TargetError, match="cannot be measured here: this CPU lacks popcnt"):
        luthier.target("x86-64-v2", measure=True)


# ---- threads ----


def test_a_target_object_has_its_threads_already():
    target = host(2)
    assert luthier.target(target).threads == 2
    assert luthier.target(target, 2).threads == 2
    with pytest.raises(luthier.UsageError, match="threads=3 contradicts the target's 2"):
        luthier.target(target, 3)


def test_affinity_limits_the_threads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {7})
    assert luthier.target().threads == 1


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_impossible_threads(threads):
    with pytest.raises(luthier.UsageError, match="between 1 and 1024"):
        luthier.target("host", threads)


@pytest.mark.parametrize("threads", [0, -1, 1025, 1 << 40])
def test_impossible_threads_of_a_target_object(threads):
    with pytest.raises(luthier.UsageError, match="between 1 and 1024"):
        luthier.target(Target("x86-64-v3", "znver3", threads))


def test_an_unknown_target():
    with pytest.raises(luthier.TargetError, match="unknown target 'arm'; choose one of host"):
        luthier.target("arm")


def test_an_artifact_for_another_target_says_so(proto, tmp_path):
    luthier.build(proto, tmp_path / "out", target="x86-64-v2", threads=1)
    with luthier.load(tmp_path / "out") as artifact:
        assert artifact.manifest.target == Target(
            "x86-64-v2", "x86-64-v2", 1, 32 << 10, 512 << 10, 16 << 20
        )
        assert artifact.threads == 1


# ---- doctor ----


def found(name: str) -> luthier.Finding:
    return next(f for f in luthier.doctor() if f.name == name)


def test_a_healthy_installation():
    findings = luthier.doctor()
    assert all(f.ok for f in findings)
    assert all(f.detail for f in findings)
    assert [f.name for f in findings if not f.required] == ["onnxruntime"]


def test_the_pinned_tvm_is_the_one_that_pyproject_pins():
    wanted = {r.partition(";")[0].strip() for r in metadata.requires("luthier") or ()}
    assert {f"{package}=={version}" for package, version in TVM_PAIR.items()} <= wanted


def test_no_compiler(cli, monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent")
    done = cli("doctor")
    assert done.code == 1
    assert "BROKEN  compiler       no C compiler works (/nonexistent)" in done.out
    assert "BROKEN  build and run  no C compiler works (/nonexistent)" in done.out
    assert "ok      tvm " in done.out
    assert done.err == (
        "luthier: error: this installation does not work: compiler, build and run\n"
    )


def test_a_compiler_that_cannot_link(tmp_path, monkeypatch):
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && echo cc 1.0 && exit\nexit 3\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert found("compiler").ok
    assert not found("build and run").ok
    assert "gave no reason" in found("build and run").detail


def test_another_tvm(monkeypatch):
    monkeypatch.setitem(TVM_PAIR, "apache-tvm-ffi", "9.9")
    finding = found("tvm")
    assert not finding.ok
    assert finding.detail.endswith("run: pip install apache-tvm-ffi==9.9")


def test_a_missing_onnxruntime_is_not_a_fault(cli, monkeypatch):
    version = metadata.version

    def without(package: str) -> str:
        if package == "onnxruntime":
            raise metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr("luthier.machine.doctor.metadata.version", without)
    done = cli("doctor")
    assert (done.code, done.err) == (0, "")
    assert "absent  onnxruntime    not installed; checks use onnx's slower evaluator" in done.out


def test_a_module_that_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    finding = found("xgboost")
    assert not finding.ok
    assert "xgboost" in finding.detail


def test_wrong_results(monkeypatch):
    from luthier.deploy import Artifact

    monkeypatch.setattr(Artifact, "__call__", lambda self, x: (x[:, :5],))
    assert found("build and run").detail == "a tiny model gives wrong results"


def test_a_cpu_that_is_too_old(monkeypatch):
    monkeypatch.setattr(
        "luthier.schedules.target.machine.host_features", lambda: frozenset({"sse2"})
    )
    finding = found("cpu")
    assert not finding.ok
    assert "below x86-64-v2" in finding.detail


def test_an_old_python(monkeypatch):
    monkeypatch.setattr("luthier.machine.doctor.sys.version_info", (3, 9))
    assert "3.10+ on Linux needed" in found("python").detail
