"""The reference is a courtesy: whatever it does stops no build and judges no schedule."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scale_model import expected

import luthier
from luthier.correctness.compare import Outputs
from luthier.correctness.reference import ADVICE, Engine, reference
from luthier.correctness.states import run_from
from luthier.schedules import Tensor

TYPES = {"y": Tensor((2, 5), "float32"), "total": Tensor((5,), "float32")}


@pytest.fixture
def without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


def test_onnxruntime_leaves_no_files(tmp_path):
    folders = {name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    kept = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    code = "from luthier.correctness import reference as r; print(r._engines()[0].name)"
    name = subprocess.check_output([sys.executable, "-B", "-c", code], env=kept | folders)
    assert name.startswith(b"onnxruntime ")
    assert list(tmp_path.rglob("*")) == []


def engines(monkeypatch: pytest.MonkeyPatch, *runs: Callable[..., Any], sure: bool = False) -> None:
    """Only these engines are installed."""
    found = [Engine(f"engine {i}", lambda _, run=run: run, sure) for i, run in enumerate(runs)]
    monkeypatch.setattr("luthier.correctness.reference._engines", lambda: tuple(found))


def right(inputs: dict[str, Any]) -> dict[str, Any]:
    return expected(**inputs)


def raising(_: object) -> Any:
    raise RuntimeError("Op (Foo)\n is not\nimplemented")


def hanging(_: object) -> Any:
    while True:
        time.sleep(0.01)


def out_of_memory(_: object) -> Any:
    raise MemoryError


def another_shape(inputs: dict[str, Any]) -> Any:
    return {**right(inputs), "y": np.zeros((5, 2), np.float32)}


def another_type(inputs: dict[str, Any]) -> Any:
    return {name: array.astype(np.float64) for name, array in right(inputs).items()}


def an_output_less(inputs: dict[str, Any]) -> Any:
    return {"y": right(inputs)["y"]}


def not_a_number(inputs: dict[str, Any]) -> Any:
    return {name: array * np.float32(np.nan) for name, array in right(inputs).items()}


def wrong(inputs: dict[str, Any]) -> Any:
    return {name: array + np.float32(1) for name, array in right(inputs).items()}


USELESS = {
    raising: "Op (Foo) is not implemented",
    hanging: "it takes longer than 0.3 s",
    out_of_memory: "it needs more memory than is free",
    another_shape: "it gives 'y' as float32[5,2], the model as float32[2,5]",
    another_type: "it gives 'y' as float64[2,5], the model as float32[2,5]",
    an_output_less: "it has no 'total'",
}


# ---- engines ----


def test_onnxruntime_is_the_first_choice_and_does_what_onnx_says(proto, arrays):
    found = reference(proto, [arrays], TYPES)
    assert found.engine.startswith("onnxruntime ")
    assert found.is_sure
    for name, array in expected(**arrays).items():
        np.testing.assert_allclose(found.outputs[0][name], array, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("without_onnxruntime")
def test_without_it_the_reference_is_onnx_s_evaluator(proto, arrays):
    found = reference(proto, [arrays, arrays], TYPES)
    assert found.engine == f"onnx {onnx.__version__}"
    assert not found.is_sure
    assert len(found.outputs) == 2
    for name, array in expected(**arrays).items():
        np.testing.assert_allclose(found.outputs[1][name], array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("useless", USELESS)
def test_a_useless_engine_is_followed_by_the_next(proto, arrays, useless, monkeypatch):
    engines(monkeypatch, useless, right)
    assert reference(proto, [arrays], TYPES, seconds=0.3).engine == "engine 1"
    engines(monkeypatch, useless)
    with pytest.raises(luthier.ModelError) as caught:
        reference(proto, [arrays], TYPES, seconds=0.3)
    assert f"no reference engine can run the model: engine 0: {USELESS[useless]}" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("without_onnxruntime")
def test_the_advice_is_given_where_onnxruntime_is_not_installed(proto, arrays, monkeypatch):
    engines(monkeypatch, raising)
    with pytest.raises(luthier.ModelError) as caught:
        reference(proto, [arrays], TYPES)
    assert ADVICE in str(caught.value)
    assert "pip install 'luthier[reference]'" in ADVICE


@pytest.mark.usefixtures("without_onnxruntime")
def test_the_evaluator_runs_operators_whose_older_versions_it_lacks():
    model = quantised()
    found = reference(
        model, [{"x": np.ones((2, 40), np.float32)}], {"y": Tensor((2, 6), "float32")}
    )
    assert found.engine == f"onnx {onnx.__version__}"


def quantised() -> onnx.ModelProto:
    """A quantised product, as exporters of operator set 13 write it."""
    rng = np.random.default_rng(0)
    arrays = {
        "s": np.float32(0.05), "z": np.int8(0), "t": np.float32(0.2),
        "w": rng.integers(-127, 128, (40, 6)).astype(np.int8), "ws": np.float32(0.01),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "z"], ["wd"]),
        helper.make_node("MatMul", ["xd", "wd"], ["p"]),
        helper.make_node("QuantizeLinear", ["p", "t", "z"], ["pq"]),
        helper.make_node("DequantizeLinear", ["pq", "t", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 6])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


# ---- building without a reference ----


@pytest.mark.parametrize("useless", [*USELESS, not_a_number, wrong])
def test_no_reference_stops_a_build(proto, useless, monkeypatch):
    monkeypatch.setattr("luthier.building.trial.SECONDS", 0.3)
    engines(monkeypatch, useless)
    report = luthier.build(proto, "out", log=None, threads=1)
    assert report.reference == "the default schedules"
    assert len(report.problems) == 1
    assert ("no reference engine" in report.problems[0]) == (useless in USELESS)
    with luthier.load("out") as artifact, np.load("out/sample.npz") as sample:
        assert artifact.manifest.sample.source == "the default schedules"
        assert sample.files == ["in:x", "in:shift", "out:y", "out:total"]
        wanted = expected(sample["in:x"], sample["in:shift"])
        np.testing.assert_allclose(sample["out:y"], wanted["y"], rtol=1e-5, atol=1e-6)
    checked = luthier.check("out")
    assert checked.ok
    assert checked.reference == "the saved sample of the default schedules"
    assert luthier.bench("out", seconds=0.01).runs >= 10


def test_a_sure_reference_that_disagrees_is_reported_and_kept(proto, monkeypatch):
    engines(monkeypatch, wrong, sure=True)
    report = luthier.build(proto, "out", log=None, threads=1)
    assert report.reference == "engine 0"
    assert "differs by 1 from that of engine 0 (float32" in report.problems[0]
    assert not luthier.check("out").ok


@pytest.mark.usefixtures("without_onnxruntime")
def test_the_command_line_says_how_to_get_a_better_reference(cli, model, monkeypatch):
    engines(monkeypatch, raising)
    done = cli("build", model, "-o", "out", "--no-log")
    assert done.code == 0
    assert ADVICE in done.out
    done = cli("check", model, "--no-log")
    assert done.code == 3
    assert ADVICE in done.err


def test_a_model_for_another_machine_has_a_sample_all_the_same(proto, monkeypatch):
    engines(monkeypatch, raising)
    monkeypatch.setattr("luthier.building.trial.host_features", frozenset)
    report = luthier.build(proto, "out", target="x86-64-v2", log=None, threads=1)
    assert report.reference == "the default schedules"
    with np.load("out/sample.npz") as sample:
        assert "out:y" in sample.files


def test_a_sample_that_nobody_could_compute_has_inputs_alone(cli, proto, monkeypatch):
    engines(monkeypatch, raising)
    monkeypatch.setattr("luthier.building.trial.host_features", frozenset)
    monkeypatch.setattr("luthier.building.trial.Trial._elsewhere", lambda self: {})
    assert luthier.build(proto, "out", log=None, threads=1).reference == ""
    with np.load("out/sample.npz") as sample:
        assert sample.files == ["in:x", "in:shift"]
    assert luthier.bench("out", seconds=0.01).runs >= 10
    done = cli("check", "out")
    assert done.code == 5
    assert "nobody could compute its sample's outputs; check the model itself" in done.err


# ---- judging records ----


@pytest.fixture(scope="module")
def tuned(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    log = tmp_path_factory.mktemp("tuned") / "log"
    luthier.tune(model, trials=6, log=log, threads=2, timed=False)
    return log


@pytest.mark.parametrize(
    ("useless", "sure"),
    [(raising, False), (another_type, False), (not_a_number, True), (wrong, False), (wrong, True)],
)
def test_a_reference_that_is_unsure_judges_no_record(proto, tuned, useless, sure, monkeypatch):
    engines(monkeypatch, useless, sure=sure)
    report = luthier.build(proto, "out", log=tuned, threads=2, require_hits=True)
    assert report.from_records == 2
    assert not any("records were not used" in problem for problem in report.problems)


@pytest.mark.parametrize(
    ("engine", "fault"),
    [(raising, 0.01), (right, 0.01), (wrong, 2.0), (not_a_number, np.nan), (raising, np.inf)],
)
def test_records_that_are_wrong_are_not_used(proto, tuned, engine, fault, monkeypatch):
    def faulty(artifact: luthier.Artifact, inputs: Outputs) -> Outputs:
        outputs = run_from(artifact, inputs)
        recorded = any(kernel.source == "record" for kernel in artifact.manifest.kernels)
        added = np.float32(fault if recorded else 0)
        return {name: array + added for name, array in outputs.items()}

    engines(monkeypatch, engine)
    monkeypatch.setattr("luthier.building.trial.run_from", faulty)
    report = luthier.build(proto, "out", log=tuned, threads=2)
    assert report.from_records == 0
    assert report.problems[0].startswith(
        "records were not used: with their schedules the output 'y'"
    )


def test_an_older_manifest_s_sample_has_the_tolerances_of_its_types(cli, artifact_folder):
    shutil.copytree(artifact_folder, "copy", symlinks=True)
    manifest = json.loads(Path("copy/manifest.json").read_text())
    del manifest["sample"]
    Path("copy/manifest.json").write_text(json.dumps(manifest))
    report = luthier.check("copy")
    assert (report.ok, report.reference) == (True, "the saved sample")
    assert report.outputs[0].tolerance.why == "float32"


@pytest.mark.parametrize(
    "change",
    [{"rtol": -1}, {"atol": "x"}, {"atol": float("inf")}, {"share": 2}, {"rtol": None}],
)
def test_a_tolerance_that_was_tampered_with(cli, artifact_folder, change):
    shutil.copytree(artifact_folder, "copy", symlinks=True)
    manifest = json.loads(Path("copy/manifest.json").read_text())
    manifest["sample"]["tolerances"]["y"].update(change)
    Path("copy/manifest.json").write_text(json.dumps(manifest))
    done = cli("check", "copy")
    assert done.code == 5
    assert "manifest.json: malformed" in done.err
