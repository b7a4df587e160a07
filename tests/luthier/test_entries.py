"""Commands that take several models: tuned, explained, checked and built as one."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

import luthier
from luthier import EntryPoint
from luthier.records.runs import all_runs, counts
from luthier.schedules.errors import UsageError

sys.path.append(str(Path(__file__).parent.parent / "frontend"))

import state_models

TEXT = """
<ir_version: 8, opset_import: ["": 18]>
%s (float[%s,16] x, float[past,16] past_0) => (float[1,16] y, float[all,16] present_0) {
  w = Constant <value = float[16] {%s}> ()
  axes = Constant <value = int64[1] {0}> ()
  new = Mul (x, w)
  present_0 = Concat <axis = 0> (past_0, new)
  y = ReduceSum (present_0, axes)
}
"""
PAST = 20
OPTIONS = (
    *("--entry", "prefill=prefill.onnx", "--entry", "decode=decode.onnx", "--state", "auto"),
    *("--shape", f"past=0..{PAST}", "--shape", "prefill:rows=1..8", "--threads", 1),
)


@pytest.fixture(autouse=True)
def points(elsewhere: Path) -> dict[str, EntryPoint]:
    """Both models of a sum, whose files lie in the working folder."""
    weights = ",".join(map(str, range(16)))
    for name, rows in (("prefill", "rows"), ("decode", 1)):
        onnx.save(onnx.parser.parse_model(TEXT % (name, rows, weights)), f"{name}.onnx")
    past = {"past": range(PAST + 1)}
    return {
        "prefill": EntryPoint("prefill.onnx", shapes={"rows": range(1, 9), **past}, state="auto"),
        "decode": EntryPoint("decode.onnx", shapes=past, state="auto"),
    }


class TestTuning:
    def test_kernels_are_those_of_all_and_each_is_measured_once(
        self, points: dict[str, EntryPoint]
    ) -> None:
        point = points["decode"]
        one = luthier.tune(point.model, trials=3, log="log", threads=1, timed=False, **said(point))
        report = luthier.tune({"a": point, "b": point}, trials=3, log="log", threads=1, timed=False)
        assert one.entries == ()
        assert [each.name for each in report.entries] == ["a", "b"]
        kernels = [kernel.workload for kernel in report.kernels]
        assert sorted(map(str, kernels)) == sorted(str(k.workload) for k in one.kernels)
        called = Counter({k.workload: 2 * k.count for k in one.kernels})
        assert {k.workload: k.count for k in report.kernels} == called
        for each in report.entries:
            assert [k.workload for k in each.kernels] == kernels
            assert {k.workload: k.count for k in each.kernels} == {
                k.workload: k.count for k in one.kernels
            }

    def test_the_command_tells_kernels_by_entry_point(self, cli: Any) -> None:
        at = ("--at", "decode:past=7,20", "--at", "rows=4", "--at", "prefill:past=0")
        done = cli("tune", *OPTIONS, *at, "--trials", 8, "--untimed", "--log", "log", "--json")
        assert done.code == 0, done.err
        report = json.loads(done.out)
        assert report["sizes"] == ["prefill: rows=4, past=0", "decode: past=20", "decode: past=7"]
        prefill, decode = report["entries"]
        assert decode["sizes"] == ["past=20", "past=7"]
        assert {"before", "after", "model_before"} <= prefill.keys()
        texts = {str(k["workload"]) for k in prefill["kernels"]}
        assert any("float32[4,16]" in text for text in texts)
        done = cli("tune", *OPTIONS, *at, "--trials", 1, "--untimed", "--log", "log", "--explain")
        assert done.code == 0, done.err
        assert "kernels of the models: " in done.out
        assert "\n  decode: " in done.out
        assert "at decode: past=7" in done.out
        done = cli("build", *OPTIONS, *at, "--log", "log", "-o", "out", "--json")
        assert json.loads(done.out)["from_records"] > 0

    def test_what_was_tuned_is_explained_by_entry_point(
        self, points: dict[str, EntryPoint]
    ) -> None:
        at = {"past": (20,), "rows": (8,)}
        luthier.tune(points, trials=20, log="log", threads=1, timed=False, at=at)
        why = luthier.explain(points, log="log", threads=1, at=at)
        shown = {text for kernel in why for text in kernel.sizes}
        assert shown == {"prefill: rows=8, past=20", "decode: past=20"}

    def test_tune_and_build(self, points: dict[str, EntryPoint]) -> None:
        report = luthier.tune_and_build(points, "out", trials=4, log="log", threads=1)
        assert report.from_records > 0
        with luthier.load("out") as first:
            assert first.entries == ("prefill", "decode")

    @pytest.mark.parametrize("limit", [("--trials", 3), ("--minutes", 0.2)])
    def test_build_tunes_first(self, cli: Any, limit: tuple[Any, ...]) -> None:
        done = cli("build", *OPTIONS, *limit, "--log", "log", "-o", "out", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["from_records"] > 0

    def test_sizes_are_those_that_each_may_have(self, points: dict[str, EntryPoint]) -> None:
        from luthier.frontend import import_entries
        from luthier.schedules import target

        reads = {name: point.read() for name, point in points.items()}
        entries = import_entries(reads, target.host(threads=1))
        some = all_runs(entries, {"rows": (4,), "decode:past": (3, 5)})
        assert [run.text for run in some["prefill"]] == [f"rows=4, past={PAST}"]
        assert [run.text for run in some["decode"]] == ["past=5", "past=3"]
        assert counts(some["decode"]).total() > 0
        for at, message in (
            ({"past": (3, 21)}, "no entry point is for past=21; their sizes are: prefill: rows"),
            ({"decode:rows": (3,)}, "for decode:rows=3; their sizes are: decode: past=0..20"),
            ({"tokens": (3,)}, "no entry point is for tokens=3"),
        ):
            with pytest.raises(UsageError, match=message):
                all_runs(entries, at)


class TestChecks:
    def test_each_is_compared_and_a_sequence_of_both(self, cli: Any) -> None:
        done = cli("check", *OPTIONS, "--no-log", "--runs", 1, "--json")
        assert done.code == 0, done.err
        report = json.loads(done.out)
        assert report["ok"]
        named = [(o["entry"], o["name"]) for o in report["outputs"]]
        assert named == [(e, n) for e in ("prefill", "decode") for n in ("y", "present_0")]
        order = [step["entry"] for step in report["sequence"]]
        assert order == ["prefill", *4 * ["decode"], "prefill"]
        assert report["runs"] == len(report["sizes"]) + len(report["sequence"])
        done = cli("check", *OPTIONS, "--no-log", "--runs", 1)
        assert "prefill:present_0  " in done.out
        assert "\nin sequence prefill: rows=" in done.out
        assert "\ndecode at past=" in done.out

    def test_what_only_a_sequence_shows_is_found(self, cli: Any, monkeypatch: Any) -> None:
        """As if a run forgot what another entry point left."""
        right = luthier.Artifact.run
        before = []

        def forgetful(
            self: luthier.Artifact, given: dict[str, Any], **asked: bool
        ) -> dict[str, np.ndarray]:
            if before and before[-1] != len(self.inputs[0].dims) and len(before) > 1:
                self.state.reset()
            before.append(len(self.inputs[0].dims))
            return right(self, given, **asked)

        monkeypatch.setattr("luthier.building.check.run_from", _single)
        monkeypatch.setattr(luthier.Artifact, "run", forgetful)
        done = cli("check", *OPTIONS, "--no-log", "--runs", 1)
        assert done.code == 9
        assert "DIFFERS in run 2 of the sequence: decode: past=" in done.out
        assert "DIFFERS at" not in done.out

    def test_states_that_keep_their_type(self, cli: Any) -> None:
        onnx.save(state_models.elman(), "elman.onnx")
        done = cli("check", "elman.onnx", "--state", "auto", "--no-log", "--threads", 1)
        assert done.code == 0, done.err
        assert "\nin sequence 6 runs" in done.out

    def test_a_sequence_begins_as_the_model_may(self, points: dict[str, EntryPoint]) -> None:
        """Where the range of the past begins at 1, a state is written first."""
        report = luthier.check(
            "decode.onnx", shapes={"past": range(2, 6)}, state="auto", log=None, threads=1, runs=1
        )
        assert report.ok
        assert [step.sizes for step in report.sequence] == [f"past={n}" for n in range(2, 6)]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--entry", "a=decode.onnx", "--inputs", "in.npz"], "inputs are of one model"),
            ([".", "--entry", "a=decode.onnx"], "give a MODEL or a DIR, or entry points"),
            ([], "give a MODEL or a DIR, or entry points with --entry NAME=FILE"),
        ],
    )
    def test_what_is_refused(self, cli: Any, arguments: list[str], message: str) -> None:
        np.savez("in.npz", x=np.zeros((1, 16), np.float32))
        done = cli("check", *arguments)
        assert (done.code, done.out) == (2, "")
        assert message in done.err


def said(point: EntryPoint) -> dict[str, Any]:
    return {"shapes": point.shapes, "state": point.state}


def _single(artifact: luthier.Artifact, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is right, whatever the artifact gives."""
    new = inputs["x"] * np.arange(16, dtype=np.float32)
    present = np.concatenate([inputs["past_0"], new])
    return {"y": present.sum(axis=0, keepdims=True), "present_0": present}
