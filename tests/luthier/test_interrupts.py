"""Ctrl-C and requests to end: at any moment, one line, exit code 130, and no files left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import luthier
from luthier.autotune import Store
from luthier.commands import interrupts
from luthier.schedules import LogError

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"
LINE = f"luthier: error: {interrupts.MESSAGE}"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signals are as a shell leaves them, and as they were afterwards."""
    before = {number: signal.getsignal(number) for number in interrupts._SIGNALS}
    hook = sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook
    interrupts._came.clear()


def interruptible() -> None:
    """Also where these tests run in the background of a shell, which ignores Ctrl-C there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(folder: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """The command in a process of its own, which has a handler by now."""
    (folder / "tmp").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "luthier", *arguments],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,  # noqa: PLW1509 - of one thread
    )
    caught = 0
    while not caught >> (signal.SIGTERM - 1) & 1:
        time.sleep(0.005)
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("first", [0.0, 0.7, 1.5, 4.0])
def test_at_any_moment_of_a_session(tmp_path, first, number):
    process = started(tmp_path, "tune", DIGITS, "--trials", "500", "--log", "log.db")
    time.sleep(first)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("luthier: ")
    assert "interrupted" in said.strip().splitlines()[-1]
    assert list((tmp_path / "tmp").iterdir()) == []
    if (tmp_path / "log.db").exists():
        with Store.open(tmp_path / "log.db", create=True) as store:  # as the next session does
            assert (store.skipped, store.check()) == (0, [])


def test_the_next_session_removes_the_files_of_a_killed_one(model, tmp_path):
    process = started(tmp_path, "tune", model, "--trials", "500", "--log", "log.db")
    folder = tmp_path / "tmp"
    while not any(folder.iterdir()):
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    psutil.wait_procs(children, 30)
    assert len(list(folder.iterdir())) == 1
    after = started(tmp_path, "tune", model, "--trials", "1", "--log", "log.db", "--untimed")
    _, said = after.communicate(timeout=120)
    assert after.returncode == 0, said
    assert list(folder.iterdir()) == []


def test_an_error_that_a_library_makes_of_it_is_an_interrupt(cli, monkeypatch):
    def library(*arguments: object, **settings: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise LogError("cannot use the log: (sqlite3.OperationalError) interrupted")

    monkeypatch.setattr(luthier, "target", library)
    done = cli("target")
    assert (done.code, done.out, done.err) == (130, "", f"{LINE}\n")
    monkeypatch.setattr(luthier, "target", lambda *a, **s: (_ for _ in ()).throw(LogError("no")))
    assert cli("target").code == 4


def test_an_interrupt_lost_in_a_destructor_is_raised_again(cli, monkeypatch):
    class Deaf:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def library(*arguments: object, **settings: object) -> None:
        deaf = Deaf()
        del deaf
        time.sleep(20)

    monkeypatch.setattr(luthier, "target", library)
    begin = time.monotonic()
    done = cli("target")
    assert (done.code, done.err.strip()) == (130, LINE)
    assert time.monotonic() - begin < 15


def test_other_lost_errors_are_reported_as_usual(capsys):
    class Broken:
        def __del__(self) -> None:
            raise ValueError("in a destructor")

    interrupts.raise_from_now()
    assert sys.unraisablehook is interrupts._unraisable
    broken = Broken()
    del broken
    assert "ValueError: in a destructor" in capsys.readouterr().err
