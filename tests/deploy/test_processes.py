"""Artifacts in Python across fork, and in whatever floating-point mode the program runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PREPARE = """
import ctypes, multiprocessing, os, sys, threading, warnings
import numpy as np
from luthier.deploy import load

warnings.filterwarnings("ignore", category=DeprecationWarning)  # of Python 3.12, about fork
folder, threads = sys.argv[1], int(sys.argv[2])
x = np.linspace(-1, 1, 37 * 11, dtype=np.float32).reshape(37, 11)
inputs = {"x": x, "y": x}
artifact = load(folder, threads=threads)
wanted = artifact.run(inputs)

def check(some=artifact):
    outputs = some.run(inputs)
    assert all(np.array_equal(outputs[n], wanted[n]) for n in wanted)

def in_child(work):
    child = os.fork()
    if child == 0:
        signal_after(10)
        work()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0

def signal_after(seconds):
    import signal
    signal.alarm(seconds)
"""

PROGRAMS = {
    "a child ends": "in_child(lambda: None)",
    "a child runs what it inherits": "in_child(check)",
    "a child closes": "in_child(artifact.close)",
    "a child loads": "in_child(lambda: check(load(folder)))",
    "a child of a child": "in_child(lambda: in_child(check))",
    "a pool of processes": """
with multiprocessing.get_context("fork").Pool(3) as pool:
    assert pool.map(os.path.exists, [folder] * 3) == [True] * 3
processes = [multiprocessing.get_context("fork").Process(target=check) for _ in range(3)]
for process in processes:
    process.start()
for process in processes:
    process.join(20)
    assert process.exitcode == 0
""",
    "another thread is in a run": """
calm = threading.Event()
def work():
    while not calm.is_set():
        check()
runners = [threading.Thread(target=work) for _ in range(2)]
for thread in runners:
    thread.start()
for _ in range(10):
    in_child(check)
    in_child(artifact.close)
calm.set()
for thread in runners:
    thread.join()
""",
    "a thread forks": """
thread = threading.Thread(target=in_child, args=(check,))
thread.start()
thread.join()
""",
}


def run(program: str, folder: Path, threads: int) -> None:
    command = [sys.executable, "-c", PREPARE + program + "\ncheck()", str(folder), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_fork(artifact_folder: Path, program: str) -> None:
    run(PROGRAMS[program], artifact_folder, 4)


def test_floating_point_mode(artifact_folder: Path) -> None:
    """Subnormal numbers and rounding are the same in every mode, which stays what it was."""
    program = """
libm = ctypes.CDLL("libm.so.6")
mode = libm.fegetround
small = np.full((37, 11), 1.17e-38, np.float32) * np.float32(0.1)
delicate = {"x": x * np.float32(1.1) + small, "y": small}
wanted = artifact.run(delicate)
for rounding in (0, 0x400, 0x800, 0xc00):
    assert libm.fesetround(rounding) == 0
    with load(folder, threads=threads) as other:
        for some in (artifact, other):
            outputs = some.run(delicate)
            assert all(outputs[n].tobytes() == wanted[n].tobytes() for n in wanted), rounding
            assert mode() == rounding
assert libm.fesetround(0) == 0
inputs, wanted = delicate, artifact.run(delicate)
"""
    run(program, artifact_folder, 3)
