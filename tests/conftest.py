"""The compilers of this machine: a test with ``c_compiler`` or ``cxx_compiler`` runs with each.

One that lacks its sanitizers' libraries counts as absent. The header of a run names them.

What libraries have in common is compiled once a run: all of its processes keep it in one folder,
which goes at the end.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from luthier.schedules.kept import VARIABLE
from luthier.schedules.temporary import TemporaryFolder

# CMake and pkg-config of the virtual environment, where the system has none.
os.environ["PATH"] += os.pathsep + str(Path(sys.executable).parent)

# XGBoost's threads wait for each other at every node of a tree: asleep, as others need the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Hundreds of tests start Python, which else compiles all modules again each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

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


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # it has the environment of the process that started it
        return
    folder = TemporaryFolder()
    config.add_cleanup(folder.close)
    os.environ[VARIABLE] = str(folder.path)


def pytest_collection_finish() -> None:
    """The collector of garbage need not look at thousands of tests again and again."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(autouse=True)
def nothing_is_kept_out() -> Iterator[None]:
    """A command keeps torch and scikit-learn out of its process, where other tests come after."""
    yield
    for name in ("torch", "sklearn"):
        if sys.modules.get(name, ...) is None:
            del sys.modules[name]
