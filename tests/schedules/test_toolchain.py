"""A missing or broken compiler or linker is reported in one line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from caller import TARGETS, schedules
from workloads import unary

from luthier.schedules import ToolchainError
from luthier.schedules.codegen import compile_object
from luthier.schedules.execute import aligned, link
from luthier.schedules.templates.registry import instantiate
from luthier.schedules.toolchain import find_compiler, run_tool


@pytest.fixture
def only(monkeypatch, tmp_path):
    """A PATH with only the given scripts on it, and no CC."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)

    def scripts(**texts: str) -> Path:
        for name, text in texts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        return folder

    return scripts


def test_the_compiler_of_this_machine_works(tmp_path):
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }\n")
    compiler = find_compiler()
    compiler.run(["-c", str(source), "-o", "one.o"], tmp_path)
    assert (tmp_path / "one.o").exists()
    assert "\n" not in compiler.version


def test_cc_comes_first_then_the_usual_names(only, monkeypatch):
    only(cc="echo cc 1", gcc="echo gcc 2", clang="echo clang 3")
    assert find_compiler().version == "cc 1"
    only(cc="exit 1")
    assert find_compiler().version == "gcc 2"
    only(gcc="true")  # says nothing
    assert find_compiler().version == "clang 3"
    monkeypatch.setenv("CC", "clang -m64")
    assert find_compiler().command == ("clang", "-m64")


@pytest.mark.parametrize(
    ("cc", "message"),
    [
        ("", r"no C compiler works \(cc, gcc or clang\); install gcc or clang, or set CC"),
        ("/nowhere/cc -O2", r"no C compiler works \(/nowhere/cc -O2\)"),
        ("'unbalanced", "is not a command"),
        ("   ", r"\(cc, gcc or clang\)"),
    ],
)
def test_a_missing_compiler_is_reported_in_one_line(only, monkeypatch, cc, message):
    only()
    monkeypatch.setenv("CC", cc)
    with pytest.raises(ToolchainError, match=message) as caught:
        find_compiler()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo 'note: x' >&2; echo 'a.c:1: error: no' >&2; exit 1", "a.c:1: error: no"),
        ("echo 'undefined reference to f' >&2; exit 1", "undefined reference to f"),
        ("exit 1", "it gave no reason"),
        ("printf '\\377\\376 bytes' >&2; exit 1", "bytes"),
    ],
)
def test_the_first_complaint_is_passed_on(only, tmp_path, script, complaint):
    only(cc=f'[ "$1" = --version ] && echo cc && exit\n{script}')
    with pytest.raises(ToolchainError, match=f"cc failed: .*{complaint}") as caught:
        find_compiler().run(["a.c"], tmp_path)
    assert "\n" not in str(caught.value)


def test_a_compiler_that_is_not_a_program_is_reported(only, tmp_path):
    folder = only(cc="echo cc")
    compiler = find_compiler()
    (folder / "cc").write_text("no script")
    with pytest.raises(ToolchainError, match="cannot run cc: Exec format error"):
        compiler.run(["a.c"], tmp_path)


def test_an_interrupt_at_the_start_of_a_compiler_ends_it(tmp_path, monkeypatch):
    """Even before anything has a name for the process: here its constructor is not left yet."""
    started: list[int] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_tool(["sleep", "1000"], tmp_path)
        with pytest.raises(ProcessLookupError):
            os.kill(started[0], 0)
    finally:
        signal.signal(signal.SIGINT, before)
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_kernels_are_linked_by_any_linker(only, tmp_path, monkeypatch):
    target, workload = TARGETS["x86-64-v2"], unary("exp", (9,))
    kernel = instantiate(workload, target, next(schedules(workload, target, 0)))
    path = tmp_path / "kernel.o"
    path.write_bytes(compile_object({"k": kernel}, target))
    only()
    with pytest.raises(ToolchainError, match="no linker"):
        link([path], tmp_path / "kernel.so")
    monkeypatch.setenv("PATH", os.defpath)
    link([path], tmp_path / "kernel.so")
    assert (tmp_path / "kernel.so").read_bytes()[:4] == b"\x7fELF"


def test_a_failed_link_is_reported_in_one_line(tmp_path):
    path = tmp_path / "text.o"
    path.write_text("no object\n")
    with pytest.raises(ToolchainError, match=r"failed: .*text\.o") as caught:
        link([path], tmp_path / "text.so")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 64, 1000])
def test_memory_for_kernels_is_aligned_and_zeroed(size):
    block = aligned(size)
    assert len(block) == size
    assert block.ctypes.data % 64 == 0
    assert not block.any()
