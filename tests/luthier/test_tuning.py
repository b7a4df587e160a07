"""``luthier tune`` and what ``build`` makes of its log: this machine's records, and no others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import luthier
from luthier.autotune import Log

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"


@pytest.fixture(scope="module")
def tuned(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with records of the small model for two threads; tests must not change it."""
    log = tmp_path_factory.mktemp("tuned") / "log"
    luthier.tune(model, trials=6, log=log, threads=2)
    return log


def report_of(text: str) -> dict:
    report = json.loads(text)
    assert isinstance(report, dict)
    return report


def test_build_uses_the_log_and_measures_nothing(cli, model, tuned, monkeypatch):
    monkeypatch.setattr("luthier.autotune.measure.Measurer.__init__", None)
    before = tuned.read_bytes()
    done = cli("build", model, "-o", "out", "--log", tuned, "--threads", "2")
    assert (done.code, done.err) == (0, "")
    assert "kernels: 2 from records, 0 with the default schedule" in done.out
    assert "ignored" not in done.out
    assert "skipped" not in done.out
    assert tuned.read_bytes() == before
    manifest = json.loads(Path("out/manifest.json").read_text())
    hashes = {record.hash for record in Log(tuned).records}
    for kernel in manifest["kernels"]:
        assert kernel["source"] == "record"
        assert kernel["record"] in hashes
    assert cli("check", "out").code == 0


def test_the_default_log_is_the_working_folder_s(cli, model, tuned):
    Path("luthier.log.jsonl").write_bytes(tuned.read_bytes())
    done = cli("build", model, "-o", "out", "--threads", "2", "--json")
    assert report_of(done.out)["from_records"] == 2
    done = cli("build", model, "-o", "out", "--threads", "2", "--json", "--no-log")
    assert report_of(done.out)["from_records"] == 0


def foreign(log: Path, to: Path) -> None:
    """The records of ``log`` as if they were measured on a machine with another cache."""
    with to.open("w") as file:
        for record in Log(log).records:
            target = replace(record.machine.target, l3=12345678)
            machine = replace(record.machine, target=target)
            file.write(replace(record, machine=machine).line + "\n")


def test_records_of_another_machine_are_counted_and_not_used(cli, model, tuned):
    foreign(tuned, Path("log"))
    count = len(Log("log").records)
    done = cli("build", model, "-o", "out", "--log", "log", "--threads", "2")
    assert done.code == 0
    assert "kernels: 0 from records, 2 with the default schedule" in done.out
    assert f"ignored: {count} records of another kind of machine, or of another number" in done.out

    done = cli("check", model, "--log", "log", "--threads", "2", "--json")
    report = report_of(done.out)
    assert (report["from_records"], report["foreign_records"]) == (0, count)

    done = cli("tune", model, "--log", "log", "--threads", "2", "--trials", "2", "--json")
    report = report_of(done.out)
    assert (report["trials"], report["foreign_records"]) == (2, count)


def test_records_of_another_number_of_threads_are_not_used(cli, model, tuned):
    done = cli("build", model, "-o", "out", "--log", tuned, "--threads", "1", "--json")
    report = report_of(done.out)
    assert report["from_records"] == 0
    assert report["foreign_records"] == len(Log(tuned).records)


def test_damaged_lines_are_skipped_counted_and_reported(cli, model, tuned):
    first, *rest = tuned.read_text().splitlines()
    damaged = first.replace('"samples":', '"samples":1')
    Path("log").write_text("\n".join([damaged, "", "nonsense", *rest, first[:50]]))
    before = Path("log").read_bytes()

    done = cli("build", model, "-o", "out", "--log", "log", "--threads", "2")
    assert done.code == 0
    assert "skipped: 3 lines of the log, unreadable\n" in done.out
    assert "  log:1: the content does not match its hash\n" in done.out
    assert "  log:3: the line is no JSON object" in done.out
    assert f"  log:{len(rest) + 4}: the line is no JSON object, or was cut off" in done.out
    assert Path("log").read_bytes() == before

    for command in (("check", model), ("tune", model, "--trials", "1")):
        done = cli(*command, "--log", "log", "--threads", "2", "--json")
        report = report_of(done.out)
        assert (report["skipped_lines"], len(report["problems"])) == (3, 3)
    assert Path("log").read_bytes().startswith(before)


def test_tuning_again_goes_on(cli, model, tuned):
    Path("log").write_bytes(tuned.read_bytes())
    known = {(r.workload.key, r.schedule) for r in Log("log").records}
    done = cli("tune", model, "--log", "log", "--threads", "2", "--trials", "3", "--json")
    assert report_of(done.out)["trials"] == 3
    assert Path("log").read_bytes().startswith(tuned.read_bytes())
    after = {(r.workload.key, r.schedule) for r in Log("log").records}
    assert len(after) == len(known) + 3


def test_build_with_trials_tunes_first(cli, model):
    done = cli("build", model, "-o", "out", "--trials", "3", "--log", "log", "--json")
    assert done.code == 0
    assert "trials" in done.err
    assert report_of(done.out)["from_records"] == 2
    assert len(Log("log").records) >= 3


def test_an_interrupted_build_keeps_the_records_and_builds_nothing(
    cli, model, tmp_path, monkeypatch
):
    tune = luthier.tune

    def interrupted(*arguments, **settings):
        return replace(tune(*arguments, **settings), interrupted=True)

    monkeypatch.setattr("luthier._compile.tune", interrupted)
    done = cli("build", model, "-o", "deep/out", "--trials", "3", "--log", "log")
    assert (done.code, done.out) == (130, "")
    assert done.err.splitlines()[-1] == (
        "luthier: error: interrupted: what was measured is kept, nothing is half-written"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["log"]
    assert len(Log("log").records) >= 3


@pytest.fixture
def session(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """``luthier tune`` of the digits' model in a process group of its own, after a few trials."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        folder = tmp_path / "tmp"
        folder.mkdir()
        command = [sys.executable, "-m", "luthier", "tune", str(DIGITS), "--log", "log"]
        process = subprocess.Popen(
            [*command, "--trials", "100000", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        end = time.monotonic() + 60
        while not Path("log").exists() or Path("log").read_bytes().count(b"\n") < 5:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        return process

    return start


def ended(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str, str]:
    """Send a signal to the whole group, as a terminal does; no process and no file stays."""
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not [w for w in alive if w.status() != psutil.STATUS_ZOMBIE]
    assert list(Path("tmp").iterdir()) == []
    return process.returncode, out, err


def test_ctrl_c_keeps_every_record(session, cli):
    code, out, err = ended(session(), signal.SIGINT)
    assert code == 130
    assert "kept in log" in out
    *_, last = err.splitlines()
    assert last.startswith("luthier: interrupted: ")
    assert last.endswith(" trials kept in log")
    assert "Traceback" not in err
    log = Log("log")
    assert log.skipped == 0
    assert len(log.records) >= int(last.split()[2])

    done = cli("build", DIGITS, "-o", "out", "--log", "log", "--json")
    assert report_of(done.out)["from_records"] > 0


def test_being_asked_to_end_is_the_same(session):
    process = session("--json")
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert report_of(out)["interrupted"] is True
    assert "Traceback" not in err
    assert Log("log").skipped == 0
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not [w for w in alive if w.status() != psutil.STATUS_ZOMBIE]
    assert list(Path("tmp").iterdir()) == []
