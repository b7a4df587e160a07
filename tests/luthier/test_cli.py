"""The form of the command line: help, JSON, and where results and progress go."""

from __future__ import annotations

import json
from dataclasses import replace

import click
import numpy as np
import pytest
from scale_model import expected

import luthier
from luthier.cli import cli as group
from luthier.commands import options
from luthier.commands.logs import logs
from luthier.inputs.arrays import inputs_of

LOGS = ("best", "diff", "export", "import", "merge", "prune", "show", "stats", "verify")
GROUPS = {"logs": logs}
COMMANDS = {
    **{name: command for name, command in group.commands.items() if name not in GROUPS},
    **{f"logs {name}": command for name, command in logs.commands.items()},
}


def keys(text: str) -> set[str]:
    data = json.loads(text)
    assert isinstance(data, dict)
    return set(data)


# ---- help ----


def test_the_commands(cli):
    top = ("bench", "build", "check", "doctor", "logs", "quantize", "run", "target", "tune")
    for called, names, all_of_them in (((), top, group), (("logs",), LOGS, logs)):
        assert tuple(sorted(all_of_them.commands)) == names
        done = cli(*called, "--help")
        assert (done.code, done.err) == (0, "")
        for name in names:
            assert f"\n  {name} " in done.out
        assert "..." not in done.out.partition("Commands:")[2], "a summary is cut short"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_everything_and_ends_with_an_example(cli, command):
    done = cli(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: luthier {command}" in done.out
    assert f"\n    luthier {command}" in done.out.partition("Examples:")[2]
    for option in COMMANDS[command].params:
        if isinstance(option, click.Option):
            assert option.help, f"{command} {option.name} is not explained"
            assert option.opts[-1] in done.out
    assert "--json" in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_commands_that_parse(command):
    lines = (COMMANDS[command].help or "").partition("Examples:")[2].strip().splitlines()
    assert lines
    for line in lines:
        words = ["luthier", *command.split()]
        assert line.split()[: len(words)] == words
        COMMANDS[command].make_context(command, line.split()[len(words) :])


def test_the_default_log_is_the_api_s():
    from luthier.records.sources import DEFAULT_LOG

    assert options.DEFAULT_LOG == DEFAULT_LOG


def test_version(cli):
    done = cli("--version")
    assert (done.code, done.out, done.err) == (0, f"luthier, version {luthier.__version__}\n", "")


DEEP = "[" * 50_000  # nested more deeply than any reader goes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing command. See 'luthier --help'."),
        (("tuna",), "No such command 'tuna'."),
        (("build", "-o", "out"), "give a MODEL, or entry points with --entry NAME=FILE"),
        (("build", "m.onnx"), "Missing option '-o' / '--out'. See 'luthier build --help'."),
        (("build", "m.onnx", "-o", "out", "--speed"), "No such option '--speed'."),
        (("target", "--threads", "0"), "0 is not in the range 1<=x<=1024"),
        (("target", "--threads", "two"), "'two' is not a valid integer range"),
        (("tune", "m.onnx", "--trials", "0"), "0 is not in the range x>=1"),
        (("build", "m.onnx", "-o", "out", "--shape", "x:1,2"), "'x:1,2' is not a shape such as"),
        (("build", "m.onnx", "-o", "out", "--shape", "x=1,-2"), "'x=1,-2' is not a shape such as"),
        (
            ("build", "m.onnx", "-o", "out", "--shape", "x=1", "--shape", "x=2"),
            "'x' has two shapes",
        ),
        (("build", "m.onnx", "-o", "out", "--value", "x"), "'x' is not a value such as rate=16000"),
        (("build", "m.onnx", "-o", "out", "--value", "x=one"), "'x=one' is not a value such as"),
        (("build", "m.onnx", "-o", "out", "--value", 'x={"a":1}'), "is not a value such as"),
        (
            ("build", "m.onnx", "-o", "out", "--value", "x=" + "[" * 50_000),
            "is not a value such as",
        ),
        (
            ("build", "m.onnx", "-o", "out", "--value", "x=1", "--value", "x=2"),
            "'x' has two values",
        ),
        (("build", "m.onnx", "-o", "out", "--no-log", "--trials", "5"), "exclude each other"),
        (("check", "m.onnx", "--rtol", "-1"), "must be at least 0 and finite"),
        (("check", "m.onnx", "--atol", "nan"), "must be at least 0 and finite"),
        (("bench", "model", "--seconds", "0"), "seconds must be above 0"),
        (("tune", "m.onnx", "--minutes", "nan"), "minutes must be above 0"),
    ],
)
def test_arguments_that_make_no_sense(cli, elsewhere, arguments, words):
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("luthier: error: ")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert list(elsewhere.iterdir()) == []


# ---- results ----


def test_build(cli, model):
    done = cli("build", model, "-o", "out")
    assert (done.code, done.err) == (0, "")
    first, second = done.out.splitlines()
    assert first.startswith("built out in ")
    assert first.endswith("luthier_scale() in libscale.so")
    assert second == "kernels: 0 from records, 2 with the default schedule"

    done = cli("build", model, "-o", "out", "--name", "other", "--json")
    assert (done.code, done.err) == (0, "")
    assert keys(done.out) == {
        "folder", "name", "accuracy", "kernels", "from_records", "from_defaults", "layers",
        "foreign_records", "skipped_records", "problems", "processing", "reference", "seconds",
    }  # fmt: skip
    assert json.loads(done.out)["folder"] == "out"
    assert json.loads(done.out)["name"] == "other"
    assert json.loads(done.out)["accuracy"] == "standard"


def test_run(cli, artifact_folder, arrays):
    np.savez("in.npz", **arrays)
    done = cli("run", artifact_folder, "--inputs", "in.npz", "--outputs", "out.npz")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("y: float32[2,5]\ntotal: float32[5]\nwritten to out.npz (")
    with np.load("out.npz", allow_pickle=False) as outputs:
        assert sorted(outputs.files) == ["total", "y"]
        for name, array in expected(**arrays).items():
            np.testing.assert_allclose(outputs[name], array, rtol=1e-5, atol=1e-6)

    done = cli("run", artifact_folder, "--inputs", "in.npz", "--outputs", "out.npz", "--json")
    report = json.loads(done.out)
    assert set(report) == {"outputs", "path", "milliseconds"}
    assert report["outputs"] == {"y": "float32[2,5]", "total": "float32[5]"}
    assert report["path"] == "out.npz"


def test_run_takes_an_artifact_s_own_sample(cli, artifact_folder):
    sample = artifact_folder / "sample.npz"
    assert cli("run", artifact_folder, "--inputs", sample, "--outputs", "out.npz").code == 0
    with np.load("out.npz") as outputs, np.load(sample) as kept:
        np.testing.assert_allclose(outputs["y"], kept["out:y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "taken"),
    [(("x", "in:x"), ("x", "in:x")), (("in:x", "out:y"), ("x",)), (("z",), ("z",)), ((), ())],
)
def test_inputs_are_a_sample_s_where_nothing_else_fits(names, taken):
    given = {name: np.zeros(1) for name in names}
    assert set(inputs_of(given, ["x", "shift"])) == set(taken)


def verdicts(out: str) -> list[tuple[str, str]]:
    return [(line.split()[0], line.split()[3]) for line in out.splitlines()[2:]]


def test_check_of_a_model(cli, model):
    done = cli("check", model, "--runs", "2")
    assert (done.code, done.err) == (0, "")
    head, columns, *rows = done.out.splitlines()
    assert head.startswith("against onnxruntime ")
    assert head.endswith(", 2 runs")
    assert columns.split() == ["output", "max", "abs", "error", "max", "rel", "error"]
    assert verdicts(done.out) == [("y", "ok"), ("total", "ok")]
    assert all(row.endswith("(float32: rtol 0.001, atol 0.0001)") for row in rows)


def test_check_of_an_artifact(cli, artifact_folder):
    done = cli("check", artifact_folder, "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert set(report) == {
        "reference", "runs", "outputs", "ok",
        "sizes", "sequence", "from_records", "foreign_records", "skipped_records", "problems",
    }  # fmt: skip
    assert (report["ok"], report["runs"]) == (True, 1)
    assert report["reference"].startswith("the saved sample of onnxruntime ")
    for output in report["outputs"]:
        assert set(output) == {"name", "absolute", "relative", "within", "tolerance", "entry"}
        assert output["tolerance"] == {"rtol": 1e-3, "atol": 1e-4, "share": 0, "why": "float32"}


def test_check_that_fails_prints_its_result_and_ends_with_9(cli, model, monkeypatch):
    from luthier.building.trial import Trial

    real = Trial.accept_defaults

    def accept_defaults(self, folder):
        sample = real(self, folder)
        total = sample.outputs["total"] + np.float32(0.5)
        return replace(sample, outputs={**sample.outputs, "total": total})

    monkeypatch.setattr(Trial, "accept_defaults", accept_defaults)
    luthier.build(model, "out")

    done = cli("check", "out")
    assert done.code == 9
    assert verdicts(done.out) == [("y", "ok"), ("total", "DIFFERS")]
    assert done.err.endswith(
        "by more than they may; 'total' by 0.5 (float32: rtol 0.001, atol 0.0001)\n"
    )
    done = cli("check", "out", "--json")
    assert done.code == 9
    assert json.loads(done.out)["ok"] is False
    assert cli("check", "out", "--atol", "0.6").code == 0


def test_bench(cli, artifact_folder):
    done = cli("bench", artifact_folder, "--seconds", "0.05", "--kernels")
    assert (done.code, done.err) == (0, "")
    lines = [line for line in done.out.splitlines() if not line.startswith("busy machine")]
    first, second, third, energy, _, header, *rows = lines
    assert first.startswith("median ")
    assert "quartiles" in first
    assert "2 threads" in first
    assert "GFLOPS" in second
    assert "of what this machine was measured to reach" in second
    assert third.endswith(" GB/s from memory")
    assert energy.startswith("energy unknown") or energy.endswith(" J a run")
    assert header.split() == "ms share GFLOPS peak GB/s memory from kernel".split()
    assert len(rows) == 2
    assert all(" default " in row for row in rows)

    done = cli("bench", artifact_folder, "--seconds", "0.05", "--threads", "1", "--json")
    report = json.loads(done.out)
    assert set(report) == {
        "folder", "threads", "runs", "median", "q1", "q3", "minimum", "gflop", "gflops",
        "peak_gflops", "peak_integer_gops", "fraction_of_peak", "peak_bandwidth", "busy", "kernels",
        "sizes", "at", "entry", "tokens_per_s", "joules",
    }  # fmt: skip
    assert report["threads"] == 1
    assert report["kernels"] == []


def test_target(cli):
    done = cli("target")
    assert (done.code, done.err) == (0, "")
    names = {"target", "level", "LLVM", "cores", "threads", "caches", "memory", "features"}
    assert {line.split()[0] for line in done.out.splitlines()} == names
    done = cli("target", "--target", "x86-64-v2", "--threads", "3", "--json")
    machine = json.loads(done.out)
    assert set(machine) == {
        "target", "level", "cpu", "llvm", "threads", "physical_cores", "logical_cores", "memory",
        "l1", "l2", "l3", "vector_bits", "vector_registers", "features", "measured",
    }  # fmt: skip
    assert (machine["level"], machine["threads"], machine["vector_bits"]) == ("x86-64-v2", 3, 128)


def test_tune_shows_progress_on_stderr_and_the_result_on_stdout(cli, model):
    done = cli("tune", model, "--trials", "3", "--log", "log")
    assert done.code == 0
    assert done.out.startswith("3 trials in ")
    assert "kept in log\nkernels of the model: " in done.out
    assert "trials" in done.err
    assert "ETA" in done.err
    assert "matmul" in done.err

    done = cli("tune", model, "--trials", "1", "--log", "log", "--json")
    report = json.loads(done.out)
    assert set(report) == {
        "kernels", "trials", "seconds", "outcomes", "interrupted", "before", "after", "log",
        "hints", "foreign_records", "skipped_records", "problems", "model_before", "model_after",
        "entries",
        "model_kept_defaults", "model_decided", "model_busy", "compared", "defaults_kept",
        "sizes",
    }  # fmt: skip
    assert report["outcomes"] == {"ok": 1}
    assert set(report["kernels"][0]) == {
        "workload", "count", "default", "best", "schedule", "trials", "dropped", "failure",
        "compared", "default_kept",
    }  # fmt: skip


def test_tune_explains_each_winner(cli, model):
    arguments = ("tune", model, "--trials", "8", "--log", "log", "--explain", "--untimed")
    done = cli(*arguments)
    assert "of the peak)" in done.out or "busy machine" in done.out
    assert "schedules tried\n" in done.out
    report = json.loads(cli(*arguments, "--json").out)
    assert {"count", "explanation", "gflops"} <= set(report["explanation"][0])
    assert {"knobs", "credits", "best"} <= set(report["explanation"][0]["explanation"])


def test_tune_says_what_failed(model, tmp_path, monkeypatch, cli):
    result = luthier.tune(model, trials=2, log=tmp_path / "log")
    from luthier.autotune import Outcome

    kernel = replace(result.kernels[0], failure="its default schedule does not run")
    failed = replace(result, kernels=(kernel,), outcomes={Outcome.OK: 1, Outcome.CRASHED: 2})
    monkeypatch.setattr(luthier, "tune", lambda *a, **k: failed)
    done = cli("tune", model)
    assert "failed: 2 crashed\n" in done.out
    assert "not tuned: matmul" in done.out
    assert "its default schedule does not run\n" in done.out


def test_doctor(cli):
    done = cli("doctor")
    assert (done.code, done.err) == (0, "")
    assert {line.split()[0] for line in done.out.splitlines()} == {"ok"}
    report = json.loads(cli("doctor", "--json").out)
    assert report["ok"] is True
    assert [f["name"] for f in report["findings"]] == [
        "python", "tvm", "onnx", "xgboost", "cpu", "compiler", "onnxruntime", "build and run",
    ]  # fmt: skip


# ---- how values become text ----


def test_json_holds_what_json_can():
    from luthier.autotune import Outcome

    values = {Outcome.OK: [1, 2.5, None, True], "inf": float("inf"), "nan": (float("nan"),)}
    assert options.plain(values) == {"ok": [1, 2.5, None, True], "inf": "inf", "nan": ["nan"]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name é 模型", "plain name é 模型"),
        ("two\nlines", "two lines"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("\udcff.onnx", "\\udcff.onnx"),
        ("right\u202eleft", "right\\u202eleft"),
    ],
)
def test_a_stranger_s_name_cannot_steer_the_terminal(text, shown):
    assert options.one_line(text) == shown
