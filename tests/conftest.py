"""The compilers of this machine: a test with ``c_compiler`` or ``cxx_compiler`` runs with each.

One that lacks its sanitizers' libraries counts as absent. The header of a run names them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

# CMake and pkg-config of the virtual environment, where the system has none.
os.environ["PATH"] += os.pathsep + str(Path(sys.executable).parent)

# XGBoost's threads wait for each other at every node of a tree: asleep, as others need the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

COMPILERS = {"gcc": "g++", "clang": "clang++"}


@cache
def found_compilers() -> tuple[str, ...]:
    return tuple(c for c, cxx in COMPILERS.items() if shutil.which(cxx) and _sanitizes(c))


def _sanitizes(compiler: str) -> bool:
    if not shutil.which(compiler):
        return False
    with tempfile.TemporaryDirectory() as folder:
        for sanitizer in ("address,undefined", "thread"):
            command = [compiler, f"-fsanitize={sanitizer}", "-x", "c", "-", "-o"]
            done = subprocess.run(
                [*command, str(Path(folder) / "program")],
                input=b"int main(void) { return 0; }\n",
                capture_output=True,
                check=False,
            )
            if done.returncode:
                return False
    return True


def pytest_report_header() -> str:
    absent = [c for c in COMPILERS if c not in found_compilers()]
    found = ", ".join(found_compilers()) or "none"
    return f"C compilers: {found}" + (f" (not tested: {', '.join(absent)})" if absent else "")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not found_compilers():
        raise pytest.UsageError("the tests need gcc and g++, or clang and clang++")
    if "c_compiler" in metafunc.fixturenames:
        metafunc.parametrize("c_compiler", found_compilers())
    if "cxx_compiler" in metafunc.fixturenames:
        metafunc.parametrize("cxx_compiler", [COMPILERS[c] for c in found_compilers()])
