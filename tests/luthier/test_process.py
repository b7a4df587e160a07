"""``luthier`` as a process: pipes, full disks, encodings, odd names, errors inside."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import luthier

PROGRAM = (sys.executable, "-m", "luthier")


def run(*arguments: str | bytes | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_the_installed_program_is_the_same():
    program = Path(sys.executable).with_name("luthier")
    installed = subprocess.run([program, "--version"], capture_output=True, check=True)
    assert installed.stdout == run("--version").stdout
    assert installed.stdout.decode() == f"luthier, version {luthier.__version__}\n"


def test_exit_codes_reach_the_shell():
    for code, arguments in {
        0: ("--version",),
        2: ("build",),
        7: ("target", "--target", "z80"),
    }.items():
        done = run(*arguments)
        assert done.returncode == code
        assert done.stderr.count(b"\n") == (code != 0)


# ---- pipes and disks ----


def test_a_reader_that_goes_away_is_not_an_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, "target"], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""


def shell(command: str) -> subprocess.CompletedProcess[str]:
    program = " ".join(map(shlex.quote, PROGRAM))
    return subprocess.run(
        ["bash", "-c", command.replace("luthier", program, 1)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", ["target", "target --json", "--version", "--help", "logs"])
def test_a_result_that_nobody_can_get_is_an_error(command):
    done = shell(f"luthier {command} >&-")
    assert (done.returncode, done.stderr) == (
        1,
        "luthier: error: stdout is closed, where results go\n",
    )


def test_a_log_does_not_become_a_closed_stream():
    """Libraries print to descriptors 1 and 2, whatever is open there."""
    code = "import luthier.cli as c; c._prepare_process(); print(open('new', 'w').fileno() > 2)"
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        program = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {closed}"
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout == "True\n"


def test_an_error_that_nobody_can_read_keeps_its_code():
    assert shell("luthier target --target z80 2>&-").returncode == 7
    assert shell("luthier target 2>&-").returncode == 0


def test_a_full_disk_is_reported():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "target"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"luthier: error: No space left on device\n"


def test_no_folder_for_temporary_files(artifact_folder, model, cli, monkeypatch):
    def none(*arguments: object, **settings: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("luthier.building.check.TemporaryFolder", none)
    done = cli("check", model)
    assert (done.code, done.out) == (1, "")
    assert done.err == "luthier: error: No usable temporary directory found in ['/tmp']\n"


@pytest.mark.parametrize(
    "command", ["build {model} -o {out}", "logs import {log}", "quantize {model} -o q.onnx"]
)
def test_a_working_folder_that_is_gone(command, model, cli, elsewhere, tmp_path_factory):
    there = tmp_path_factory.mktemp("there")
    names = {"model": model, "out": there / "out", "log": there / "log.jsonl"}
    names["log"].touch()
    gone = elsewhere / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    method = ["--method", "dynamic"] if command.startswith("quantize") else []
    done = cli(*command.format(**names).split(), *method)
    assert (done.code, done.out) == (1, "")
    said = "luthier: error: the working folder is gone: change into one that is there\n"
    assert done.err.endswith(said)
    assert sorted(each.name for each in there.iterdir()) == ["log.jsonl"]


# ---- names and encodings ----

ODD = {
    "no text": os.fsdecode(b"\xff\xfe.onnx"),
    "another script, another direction": "模型 \u202e.onnx",
    "like an option": "-o.onnx",
    "two lines": "new\nline.onnx",
    "blank": " .onnx",
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_names_of_files(cli, model, arrays, kind):
    name = ODD[kind]
    shutil.copy(model, name)
    np.savez("in.npz", **arrays)
    out = f"./{name} out"
    for arguments in (
        ("build", "-o", out, "--", name),
        ("check", out),
        ("run", "--inputs", "in.npz", "--outputs", f"./{name}.npz", "--", out),
    ):
        done = cli(*arguments)
        assert (done.code, done.err) == (0, ""), done.err
        assert done.out.isascii() or "模型" in done.out
    assert os.path.exists(f"{name}.npz")


def test_a_name_that_is_not_text(model):
    shutil.copy(model, os.fsdecode(b"\xff.onnx"))
    done = run("build", b"\xff.onnx", "-o", b"\xff")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"built \\udcff in ")


def test_an_odd_name_in_an_error_takes_one_line():
    done = run("bench", b"\xff\n\x1b[2J")
    assert done.returncode == 5
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr
    assert done.stderr.startswith(b"luthier: error: \\udcff")
    assert b"\\x1b[2J/manifest.json: No such file" in done.stderr


def test_a_terminal_that_knows_latin_letters_alone(model):
    shutil.copy(model, "模型.onnx")
    done = run("build", "模型.onnx", "-o", "模型", PYTHONIOENCODING="latin-1", LC_ALL="C.UTF-8")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"built \\u6a21\\u578b in " in done.stdout


# ---- errors inside ----


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(luthier, "target", fail)


@pytest.mark.usefixtures("broken")
def test_an_internal_error_takes_one_line(cli, monkeypatch):
    monkeypatch.delenv("LUTHIER_TRACEBACK", raising=False)
    done = cli("target")
    assert (done.code, done.out) == (70, "")
    assert done.err == (
        "luthier: error: internal error: RuntimeError: first line second line "
        "(set LUTHIER_TRACEBACK=1 for details)\n"
    )


@pytest.mark.usefixtures("broken")
def test_a_traceback_is_shown_on_demand(cli, monkeypatch):
    monkeypatch.setenv("LUTHIER_TRACEBACK", "1")
    done = cli("target")
    assert (done.code, done.out) == (70, "")
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert 'raise RuntimeError("first line\\nsecond line")' in done.err
    assert done.err.splitlines()[-1].startswith("luthier: error: internal error: RuntimeError")


def test_user_errors_show_no_traceback_even_then():
    done = run("bench", "none", LUTHIER_TRACEBACK="1")
    assert done.returncode == 5
    assert done.stderr.count(b"\n") == 1


def test_ctrl_c_in_any_command(cli, monkeypatch):
    def interrupt(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(luthier, "bench", interrupt)
    done = cli("bench", "model")
    assert (done.code, done.out) == (130, "")
    assert done.err.lstrip().startswith("luthier: error: interrupted")


def test_a_signal_that_is_ignored_stays_so(cli):
    """``nohup luthier tune`` goes on when the terminal closes."""
    before = signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        cli("--version")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert callable(signal.getsignal(signal.SIGTERM)), "it is as Ctrl-C"
    finally:
        for number, handler in zip((signal.SIGHUP, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
