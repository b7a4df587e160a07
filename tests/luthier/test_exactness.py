"""``accuracy``: what a build asks for holds, however fast what is less exact was measured to be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier.autotune import Machine, Outcome, Record, Store, Timing
from luthier.autotune.records.record import normal, now, tool_versions
from luthier.deploy.manifest import Manifest, read_manifest
from luthier.frontend import import_model
from luthier.schedules import Schedule, Target
from luthier.schedules.templates.registry import spaces

SHAPE = (1, 64, 28, 28)


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """A convolution for which Winograd's algorithm pays."""
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((64, 64, 3, 3)) / 24).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, SHAPE) for n in "xy"]
    graph = helper.make_graph(
        [node], "net", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def here() -> Target:
    return luthier.schedules.target.host(threads=2)


def lucky_log(network: onnx.ModelProto, path: Path) -> Path:
    """A log in which the largest tiles took a nanosecond."""
    (call,) = (c for c in import_model(network, here()).calls if "conv2d" in str(c.workload))
    space = next(s for s in spaces(call.workload, here()) if s.template == "winograd")
    record = Record(
        workload=call.workload,
        machine=Machine.host(here()),
        schedule=normal(space.default_schedule()),
        outcome=Outcome.OK,
        timing=Timing.of([1e-9]),
        cold=True,
        detail="",
        tools=tool_versions(),
        time=now(),
    )
    with Store.open(path, create=True) as store:
        store.add([record])
    return path


def convolution(folder: Path) -> tuple[Schedule, str]:
    """The schedule of the artifact's convolution, and where it is from."""
    kernels = read_manifest(folder).kernels
    (found,) = [k for k in kernels if any(n.op == "conv2d" for n in k.workload.nodes)]
    return found.schedule, found.source


@pytest.mark.parametrize("accuracy", ["strict", "balanced", "standard"])
def test_a_fast_record_counts_only_where_it_is_exact_enough(network, accuracy, tmp_path):
    log = lucky_log(network, tmp_path / "log")
    report = luthier.build(network, tmp_path / "out", log=log, threads=2, accuracy=accuracy)
    schedule, source = convolution(tmp_path / "out")
    assert report.accuracy == accuracy
    if accuracy == "standard":
        assert (schedule.template, schedule["m"], source) == ("winograd", 4, "record")
    elif accuracy == "balanced":
        assert (schedule.template, schedule["m"], source) == ("winograd", 2, "default")
    else:
        assert (schedule.template, source) == ("conv_direct", "default")
    assert report.foreign_records == 0, "it is of this machine"


def test_tuning_measures_and_reports_nothing_less_exact(network, tmp_path):
    log = lucky_log(network, tmp_path / "log")
    result = luthier.tune(network, trials=4, log=log, threads=2, accuracy="strict")
    (kernel,) = [k for k in result.kernels if "conv2d" in str(k.workload)]
    assert kernel.schedule is None or kernel.schedule.template == "conv_direct"
    assert kernel.best > 1e-9
    with Store.open(log) as store:
        measured = [r.schedule.template for r in store.records() if r.seconds > 1e-9]
    assert "winograd" not in measured
    assert luthier.tune_and_build(
        network, tmp_path / "out", trials=1, log=log, threads=2, accuracy="strict"
    ).from_records
    assert convolution(tmp_path / "out")[0].template == "conv_direct"


def test_the_manifest_says_what_was_asked_for(network, tmp_path):
    for accuracy in ("strict", "bf16", "standard"):
        luthier.build(network, tmp_path / accuracy, log=None, threads=2, accuracy=accuracy)
        manifest = read_manifest(tmp_path / accuracy)
        assert manifest.target.accuracy == manifest.to_json()["accuracy"] == accuracy
    older = manifest.to_json()
    del older["accuracy"]
    assert Manifest.from_json(older) == manifest
    for bad in ("loose", None, 3):
        with pytest.raises(luthier.ArtifactError, match="malformed"):
            Manifest.from_json({**older, "accuracy": bad})


def test_strict_is_closer_to_the_reference(network):
    reports = {a: luthier.check(network, log=None, accuracy=a) for a in ("strict", "standard")}
    assert all(r.ok for r in reports.values())
    assert reports["strict"].outputs[0].absolute < reports["standard"].outputs[0].absolute


def test_operands_may_be_rounded(network):
    report = luthier.check(network, log=None, accuracy="bf16")
    assert report.ok
    assert {output.tolerance.why for output in report.outputs} == {"bfloat16"}


def test_the_command_line_says_so(cli, network, tmp_path):
    onnx.save(network, tmp_path / "net.onnx")
    done = cli("build", "net.onnx", "-o", "out", "--accuracy", "strict")
    assert (done.code, done.out.splitlines()[-1]) == (0, "accuracy: strict")
    assert json.loads(Path("out/manifest.json").read_text())["accuracy"] == "strict"
    done = cli("build", "net.onnx", "-o", "out", "--accuracy", "sloppy")
    assert done.code == 2
    assert "'strict', 'balanced', 'standard', 'bf16'" in done.err


def test_other_words_are_refused(network, tmp_path):
    with pytest.raises(luthier.UsageError, match=r"one of strict, .*, bf16, not 'exact'"):
        luthier.build(network, tmp_path / "out", log=None, accuracy="exact")
    with pytest.raises(luthier.UsageError, match="accuracy=strict contradicts"):
        luthier.build(network, tmp_path / "out", target=here(), log=None, accuracy="strict")
