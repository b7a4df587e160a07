"""The public face in Python: names, signatures, and the way from a model to its outputs."""

from __future__ import annotations

import hashlib
import inspect
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from scale_model import expected, scale_model

import luthier
from luthier.autotune import Store, TuneResult
from luthier.schedules import errors

PUBLIC = {
    "Artifact", "BenchReport", "BuildReport", "CheckReport", "EntryPoint", "Finding",
    "KernelExplanation", "LayerHits", "Machine", "Measured", "Postprocess", "Preprocess",
    "QuantizeReport", "TuneReport",
    "AccuracyError", "ArtifactError", "InputError", "LogError", "LuthierError", "ModelError",
    "ModelWarning", "ScheduleError", "TargetError", "ToolchainError", "UnsupportedOperator",
    "UsageError",
    "bench", "build", "check", "doctor", "explain", "load", "quantize", "target", "tune",
    "tune_and_build",
}  # fmt: skip


# ---- names ----


def test_the_public_names():
    assert set(luthier.__all__) == PUBLIC
    assert luthier.__all__ == sorted(luthier.__all__)
    assert set(dir(luthier)) >= PUBLIC
    assert "__version__" in dir(luthier)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(luthier, name)
    assert len(inspect.getdoc(thing) or "") > 20
    assert getattr(luthier, name) is thing


def test_every_error_is_public():
    classes = {n: v for n, v in vars(errors).items() if isinstance(v, type)}
    ours = {n for n, v in classes.items() if issubclass(v, Exception)}
    assert ours <= PUBLIC


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'tvm'"):
        _ = luthier.tvm


def test_importing_luthier_imports_neither_tvm_nor_onnx():
    code = (
        "import luthier, luthier.cli, sys; print([m for m in ('tvm', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


SIGNATURES = {
    "tune": "(model, target='host', *, trials=None, minutes=None, log='luthier.db', packs=(), "
    "verify=False, threads=None, shapes=None, values=None, outputs=None, state=None, bounds=None, "
    "example_inputs=None, preprocess=None, postprocess=None, "
    "at=None, accuracy='standard', seed=0, timed=True, on_progress=None)",
    "explain": "(model, target='host', *, log='luthier.db', threads=None, shapes=None, "
    "values=None, outputs=None, state=None, bounds=None, example_inputs=None, "
    "preprocess=None, postprocess=None, at=None, "
    "accuracy='standard')",
    "build": "(model, out, *, target='host', log='luthier.db', packs=(), require_hits=False, "
    "threads=None, shapes=None, values=None, outputs=None, state=None, bounds=None, "
    "example_inputs=None, preprocess=None, postprocess=None, "
    "at=None, name=None, accuracy='standard')",
    "tune_and_build": "(model, out, target='host', *, trials=None, minutes=None, "
    "log='luthier.db', packs=(), threads=None, shapes=None, values=None, outputs=None, state=None, "
    "bounds=None, example_inputs=None, preprocess=None, postprocess=None, "
    "at=None, name=None, accuracy='standard', seed=0, "
    "on_progress=None)",
    "load": "(path, *, threads=None)",
    "check": "(model_or_dir, *, target='host', log='luthier.db', packs=(), threads=None, "
    "shapes=None, values=None, outputs=None, state=None, bounds=None, example_inputs=None, "
    "preprocess=None, postprocess=None, accuracy='standard', inputs=None, "
    "runs=3, rtol=None, atol=None)",
    "bench": "(folder, *, entry=None, threads=None, seconds=3.0, kernels=False, at=None)",
    "target": "(name='host', threads=None, *, measure=False, out=None)",
    "doctor": "()",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    signature = inspect.signature(getattr(luthier, name))
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    assert str(inspect.Signature(plain)) == SIGNATURES[name]


# ---- building ----


def test_a_model_is_a_path_or_a_proto(model, proto, arrays, tmp_path):
    for i, source in enumerate((model, str(model), proto)):
        report = luthier.build(source, tmp_path / str(i))
        assert report.folder == tmp_path / str(i)
        assert (report.name, report.kernels, report.from_records) == ("scale", 2, 0)
        assert report.from_defaults == 2
        assert report.reference.startswith("onnxruntime ")
        assert report.seconds > 0
        with luthier.load(tmp_path / str(i)) as artifact:
            check(artifact.run(arrays), arrays)


def check(outputs: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    wanted = expected(**arrays)
    assert list(outputs) == ["y", "total"]
    for name, array in outputs.items():
        assert type(array) is np.ndarray
        np.testing.assert_allclose(array, wanted[name], rtol=1e-5, atol=1e-6)


def test_building_leaves_the_proto_as_it_was(tmp_path):
    proto = scale_model()
    before = proto.SerializeToString(deterministic=True)
    luthier.build(proto, tmp_path / "out")
    assert proto.SerializeToString(deterministic=True) == before


def test_a_model_is_called_like_its_file_or_as_asked(tmp_path):
    onnx.save(scale_model(name="main_graph"), tmp_path / "ResNet-18.v2.onnx")
    assert luthier.build(tmp_path / "ResNet-18.v2.onnx", tmp_path / "a").name == "resnet_18_v2"
    report = luthier.build(tmp_path / "ResNet-18.v2.onnx", tmp_path / "b", name="My Net")
    assert report.name == "my_net"
    assert (tmp_path / "b" / "libmy_net.so").exists()
    assert luthier.build(scale_model(name="main_graph"), tmp_path / "c").name == "main_graph"


def test_the_manifest_has_the_hash_of_the_model_file(model, artifact_folder):
    with luthier.load(artifact_folder) as artifact:
        digest = artifact.manifest.model_sha256
    assert digest == hashlib.sha256(model.read_bytes()).hexdigest()


def test_all_of_a_build_comes_from_one_reading(model, tmp_path, monkeypatch):
    """The model's file is another model's as soon as it was read."""
    path = tmp_path / "scale.onnx"
    path.write_bytes(model.read_bytes())
    real = luthier.building.build.import_entries

    def import_model(*arguments):
        onnx.save(scale_model(rows=7, name="other"), path)
        return real(*arguments)

    monkeypatch.setattr("luthier.building.build.import_entries", import_model)
    luthier.build(path, tmp_path / "built")
    with luthier.load(tmp_path / "built") as artifact:
        assert artifact.manifest.model_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
        assert artifact.inputs[0].tensor.shape == (2, 8)
    with np.load(tmp_path / "built" / "sample.npz") as sample:
        assert sample["in:x"].shape == (2, 8)

    path.write_bytes(model.read_bytes())
    assert luthier.check(path, runs=1).ok
    path.write_bytes(model.read_bytes())
    luthier.tune_and_build(path, tmp_path / "tuned", trials=1)
    with luthier.load(tmp_path / "tuned") as artifact:
        assert artifact.manifest.model_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()


def test_equal_protos_have_equal_hashes(proto, tmp_path):
    hashes = set()
    for name in ("a", "b"):
        luthier.build(proto, tmp_path / name)
        with luthier.load(tmp_path / name) as artifact:
            hashes.add(artifact.manifest.model_sha256)
    assert len(hashes) == 1


def test_sizes_that_the_model_leaves_open_are_given(tmp_path, arrays):
    model = scale_model("batch")
    with pytest.raises(luthier.ModelError, match=r"'x' has no size in dimension 0 \('batch'\)"):
        luthier.build(model, tmp_path / "out")
    luthier.build(model, tmp_path / "out", shapes={"x": (2, 8)})
    with luthier.load(tmp_path / "out") as artifact:
        check(artifact.run(arrays), arrays)


def test_threads_of_a_build(model, tmp_path):
    luthier.build(model, tmp_path / "out", threads=3)
    with luthier.load(tmp_path / "out") as artifact:
        assert artifact.manifest.target.threads == 3
    for threads in (0, -1, 1025):
        with pytest.raises(luthier.UsageError, match="between 1 and 1024"):
            luthier.build(model, tmp_path / "out", threads=threads)


def test_by_default_a_build_is_for_every_core_this_process_may_use(model, tmp_path, monkeypatch):
    monkeypatch.setattr("luthier.schedules.target.machine.available_cores", lambda: 5)
    luthier.build(model, tmp_path / "out")
    with luthier.load(tmp_path / "out") as artifact:
        assert artifact.manifest.target.threads == 5


def test_building_measures_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr("luthier.autotune.measure.measurer.Measurer.__init__", None)
    monkeypatch.setattr("luthier.tuning.tune.tune_workloads", None)
    luthier.build(model, tmp_path / "out")


def test_the_default_log_may_be_missing_and_no_other(model, tmp_path):
    luthier.build(model, tmp_path / "out")
    with pytest.raises(luthier.LogError, match="No such file"):
        luthier.build(model, tmp_path / "out", log="team.db")
    assert not (tmp_path / "luthier.db").exists()


# ---- running ----


class Foreign:
    """An array of another library: DLPack and nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def test_numpy_and_dlpack_in_numpy_out(artifact_folder, arrays):
    with luthier.load(artifact_folder) as artifact:
        check(artifact.run({k: Foreign(v) for k, v in arrays.items()}), arrays)
        y, total = artifact(arrays["x"], Foreign(arrays["shift"]))
    check({"y": y, "total": total}, arrays)


def test_nan_and_infinity_are_values_like_others(artifact_folder, arrays):
    arrays["x"][0, 0] = np.nan
    arrays["x"][1, 7] = np.inf  # its weights are positive
    with luthier.load(artifact_folder) as artifact:
        outputs = artifact.run(arrays)
    assert np.isnan(outputs["y"][0]).all()
    assert (outputs["y"][1] == np.inf).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_of_a_run(artifact_folder, arrays, threads):
    with luthier.load(artifact_folder, threads=threads) as artifact:
        assert artifact.threads == threads
        check(artifact.run(arrays), arrays)


# ---- tuning ----


def test_tune_then_build_uses_the_records(model, tmp_path, monkeypatch):
    log = tmp_path / "log"
    shown = []
    result = luthier.tune(model, trials=6, log=log, threads=2, on_progress=shown.append)
    assert (result.trials, result.interrupted) == (6, False)
    assert [p.trials for p in shown if p.doing == "measuring"] == [1, 2, 3, 4, 5, 6]
    with Store.open(log) as store:
        hashes = {record.hash for record in store.records()}
    assert len(hashes) >= 6

    monkeypatch.setattr(
        "luthier.autotune.measure.measurer.Measurer.__init__", None
    )  # nothing is measured
    report = luthier.build(model, tmp_path / "out", log=log, threads=2)
    assert (report.kernels, report.from_records, report.from_defaults) == (2, 2, 0)
    with luthier.load(tmp_path / "out") as artifact:
        kernels = artifact.manifest.kernels
    assert {k.source for k in kernels} == {"record"}
    assert {k.record for k in kernels} <= hashes


def test_tune_and_build(proto, arrays, tmp_path):
    log = tmp_path / "log"
    report = luthier.tune_and_build(proto, tmp_path / "out", trials=3, log=log, name="tuned")
    assert (report.name, report.from_records) == ("tuned", 2)
    with luthier.load(tmp_path / "out") as artifact:
        check(artifact.run(arrays), arrays)


def test_hours_of_tuning_are_not_lost_to_a_bad_output_folder(model, tmp_path, monkeypatch):
    monkeypatch.setattr("luthier.tuning.tune.tune_workloads", None)
    (tmp_path / "out").write_text("mine")
    with pytest.raises(luthier.ArtifactError, match="choose another"):
        luthier.tune_and_build(model, tmp_path / "out", trials=3)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"trials": 0}, "trials must be at least 1"),
        ({"trials": -5}, "trials must be at least 1"),
        ({"minutes": 0}, "minutes must be above 0"),
        ({"minutes": float("nan")}, "minutes must be above 0"),
    ],
)
def test_senseless_limits(model, limits, words):
    with pytest.raises(luthier.UsageError, match=words):
        luthier.tune(model, **limits)
    assert not Path("luthier.db").exists()


def test_minutes_alone_set_no_number_of_trials(model, monkeypatch):
    given = []

    def tune_workloads(workloads, trials, sources, *, clock, **rest):
        given.append((trials, clock.given / 60))
        return TuneResult((), 0, 0.0, {}, "log", False, 0, 0, 0, ())

    monkeypatch.setattr("luthier.tuning.tune.tune_workloads", tune_workloads)
    luthier.tune(model, minutes=5)
    luthier.tune(model)
    luthier.tune(model, trials=7, minutes=5)
    assert given[0][0] > 10**9
    assert given[1:] == [(1000, math.inf), (7, 5)]


def test_the_whole_model_is_not_timed_where_nobody_asks(model, monkeypatch):
    monkeypatch.setattr("luthier.tuning.tune.judge", None)
    report = luthier.tune(model, trials=1, timed=False)
    assert (report.model_before, report.model_after) == (None, None)


def test_a_target_that_this_machine_cannot_run_is_not_measured(model, monkeypatch):
    here = "luthier.schedules.target.machine.host_features"
    monkeypatch.setattr(here, lambda: frozenset({"sse3"}))
    with pytest.raises(luthier.TargetError, match="cannot be measured here: this CPU lacks"):
        luthier.tune(model, "x86-64-v3", trials=1)
