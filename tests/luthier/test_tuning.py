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
import luthier.logs
from luthier.autotune import Pack, Record, Store

pytestmark = pytest.mark.alone

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"


@pytest.fixture(scope="module")
def tuned(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with records of the small model for two threads; tests must not change it."""
    log = tmp_path_factory.mktemp("tuned") / "log"
    luthier.tune(model, trials=6, log=log, threads=2)
    return log


def records(log: Path | str) -> list[Record]:
    with Store.open(log) as store:
        assert store.check() == []
        found = list(store.records())
        assert store.skipped == 0
    return found


def report_of(text: str) -> dict:
    report = json.loads(text)
    assert isinstance(report, dict)
    return report


def test_build_uses_the_log_and_measures_nothing(cli, model, tuned, monkeypatch):
    monkeypatch.setattr("luthier.autotune.measure.measurer.Measurer.__init__", None)
    before = tuned.read_bytes()
    done = cli("build", model, "-o", "out", "--log", tuned, "--threads", "2")
    assert (done.code, done.err) == (0, "")
    assert "kernels: 2 from records, 0 with the default schedule" in done.out
    assert "ignored" not in done.out
    assert "skipped" not in done.out
    assert tuned.read_bytes() == before
    manifest = json.loads(Path("out/manifest.json").read_text())
    hashes = {record.hash for record in records(tuned)}
    for kernel in manifest["kernels"]:
        assert kernel["source"] == "record"
        assert kernel["record"] in hashes
    assert cli("check", "out").code == 0


def test_the_default_log_is_the_working_folder_s(cli, model, tuned):
    Path("luthier.db").write_bytes(tuned.read_bytes())
    done = cli("build", model, "-o", "out", "--threads", "2", "--json")
    assert report_of(done.out)["from_records"] == 2
    done = cli("build", model, "-o", "out", "--threads", "2", "--json", "--no-log")
    assert report_of(done.out)["from_records"] == 0


def foreign(log: Path, to: Path) -> int:
    """The records of ``log`` as if they were of another processor with another cache."""
    with Store.open(to, create=True) as store:
        for record in records(log):
            target = replace(record.machine.target, cpu="future", l3=12345678)
            machine = replace(record.machine, target=target, microarchitecture="future")
            store.add([replace(record, machine=machine)])
        return store.count()


def test_records_of_another_machine_are_counted_and_not_built_from(cli, model, tuned):
    count = foreign(tuned, Path("log"))
    done = cli("build", model, "-o", "out", "--log", "log", "--threads", "2")
    assert done.code == 0
    assert "kernels: 0 from records, 2 with the default schedule" in done.out
    assert f"hints: {count} records of other kinds of machines, or of other numbers" in done.out

    done = cli("check", model, "--log", "log", "--threads", "2", "--json")
    report = report_of(done.out)
    assert (report["from_records"], report["foreign_records"]) == (0, count)


def test_what_won_on_another_machine_is_tried_first(cli, model, tuned):
    count = foreign(tuned, Path("log"))
    winners = {b.record.schedule for b in luthier.logs.best(tuned, threads=2)}
    done = cli("tune", model, "--log", "log", "--threads", "2", "--trials", "8", "--json")
    report = report_of(done.out)
    assert (report["trials"], report["foreign_records"]) == (8, count)
    assert report["hints"] > 0
    own = [r for r in records("log") if r.machine.microarchitecture != "future"]
    assert winners <= {r.schedule for r in own}


def test_records_of_another_number_of_threads_are_hints(cli, model, tuned):
    done = cli("build", model, "-o", "out", "--log", tuned, "--threads", "1", "--json")
    report = report_of(done.out)
    assert report["foreign_records"] == len(records(tuned))
    assert [layer["exact"] for layer in report["layers"]] in ([], [0])


def test_damaged_records_of_a_pack_are_skipped_counted_and_reported(cli, model, tuned):
    luthier.logs.export(tuned, "pack.jsonl")
    first, *rest = Path("pack.jsonl").read_text().splitlines()
    damaged = first.replace('"samples":', '"samples":1')
    Path("pack.jsonl").write_text("\n".join([damaged, "", "nonsense", *rest, first[:50]]))
    before = Path("pack.jsonl").read_bytes()

    pack_of = ("--pack", "pack.jsonl", "--threads", "2")
    done = cli("build", model, "-o", "out", *pack_of)
    assert done.code == 0
    assert "skipped: 3 records, unreadable\n" in done.out
    assert "  pack.jsonl:1: the content does not match its hash\n" in done.out
    assert "  pack.jsonl:3: the line is no JSON object" in done.out
    assert f"  pack.jsonl:{len(rest) + 4}: the line is no JSON object, or was cut off" in done.out

    for command in (("check", model), ("tune", model, "--trials", "1")):
        report = report_of(cli(*command, *pack_of, "--json").out)
        assert (report["skipped_records"], len(report["problems"])) == (3, 3)
    assert Path("pack.jsonl").read_bytes() == before
    found = Pack("pack.jsonl")
    assert len(list(found.records())) == len(rest)
    assert found.skipped == 3


def test_tuning_again_goes_on(cli, model, tuned):
    Path("log").write_bytes(tuned.read_bytes())
    known = {(r.workload.key, r.schedule) for r in records("log")}
    done = cli("tune", model, "--log", "log", "--threads", "2", "--trials", "3", "--json")
    assert report_of(done.out)["trials"] == 3
    after = {(r.workload.key, r.schedule) for r in records("log")}
    assert {r.hash for r in records(tuned)} <= {r.hash for r in records("log")}
    assert len(after) == len(known) + 3


@pytest.mark.parametrize(
    "command", [("tune", "--trials", "1"), ("build", "-o", "o", "--trials", "1")]
)
def test_more_threads_than_cores_are_not_tuned_for(cli, model, monkeypatch, command):
    """Nor are records of theirs kept; a library for such a machine can still be built."""
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0})
    name, *options = command
    done = cli(name, model, *options, "--threads", "2", "--log", "log")
    assert (done.code, done.out) == (7, "")
    assert "2 threads cannot be timed here: this process may use 1 core" in done.err
    assert not Path("log").exists()
    assert cli("build", model, "-o", "out", "--threads", "2").code == 0


def test_build_with_trials_tunes_first(cli, model):
    done = cli("build", model, "-o", "out", "--trials", "3", "--log", "log", "--json")
    assert done.code == 0
    assert "trials" in done.err
    assert report_of(done.out)["from_records"] == 2
    assert len(records("log")) >= 3


def test_an_interrupted_build_keeps_the_records_and_builds_nothing(
    cli, model, tmp_path, monkeypatch
):
    tuned = luthier.building.build.tuned

    def interrupted(*arguments, **settings):
        report, seconds = tuned(*arguments, **settings)
        return replace(report, interrupted=True), seconds

    monkeypatch.setattr("luthier.building.build.tuned", interrupted)
    done = cli("build", model, "-o", "deep/out", "--trials", "3", "--log", "log")
    assert (done.code, done.out) == (130, "")
    assert done.err.splitlines()[-1] == (
        "luthier: error: interrupted: what was measured is kept, nothing is half-written"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["log"]
    assert len(records("log")) >= 3


def measured() -> int:
    """How many records a session has made so far."""
    try:
        with Store.open("log") as store:
            return store.count()
    except luthier.LogError:
        return 0


def interruptible() -> None:
    """Ctrl-C counts, even where these tests run in the background of a shell that ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
            preexec_fn=interruptible,  # noqa: PLW1509 - no threads here
            env={**os.environ, "TMPDIR": str(folder)},
        )
        end = time.monotonic() + 60
        while measured() < 5:
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
    assert len(records("log")) >= int(last.split()[2])

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
    assert records("log")
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not [w for w in alive if w.status() != psutil.STATUS_ZOMBIE]
    assert list(Path("tmp").iterdir()) == []
