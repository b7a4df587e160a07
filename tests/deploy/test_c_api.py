"""The promises to C programs: linked to an artifact, and to the runtime under sanitizers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from sanitized import HERE, SANITIZERS, WARNINGS, Sanitized
from small_models import SmallModel

from luthier.deploy.library import POOL, RUNTIME, RUNTIME_SOURCES

PROMISES = {
    promise: source
    for source in ("c_api.c", "c_process.c")
    for promise in re.findall(r"PROMISE\((\w+)\),", (HERE / source).read_text())
}
# Sanitizers have their own limits of memory and need more of the stack, and a child inherits locks
# of their allocators from threads that it does not have.
NOT_SANITIZED = {
    "threads_refused",
    "no_allocation_in_run",
    "out_of_memory",
    "stack_of_16_kib",
    "stacks_of_workers",
    *(p for p in PROMISES if "child" in p or "fork" in p),
}

Linker = Callable[[str, str], Path]


def run(program: Path, *arguments: str) -> None:
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=110, env={}, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def linked(artifact_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Linker:
    """A source linked to the artifact, by each compiler."""

    @cache
    def link(compiler: str, source: str) -> Path:
        program = tmp_path_factory.mktemp(compiler) / "program"
        command = [compiler, *WARNINGS, "-DCOUNT_ALLOCATIONS", f"-I{artifact_folder}"]
        command += [str(HERE / source), f"-L{artifact_folder}", "-lsmall", "-lpthread"]
        subprocess.run([*command, f"-Wl,-rpath,{artifact_folder}", "-o", program], check=True)
        return program

    return link


@pytest.mark.parametrize("promise", PROMISES)
def test_promise(linked: Linker, c_compiler: str, promise: str) -> None:
    run(linked(c_compiler, PROMISES[promise]), promise)


@pytest.mark.parametrize("source", sorted(set(PROMISES.values())))
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_promises_under_sanitizers(
    small: SmallModel,
    sanitized: Sanitized,
    tmp_path: Path,
    c_compiler: str,
    sanitizer: str,
    source: str,
) -> None:
    """The runtime, with the tables of a real model, all in one sanitized program."""
    small.write_sources(tmp_path)
    program = sanitized.program(c_compiler, sanitizer, source, tmp_path)
    kept = [p for p, s in PROMISES.items() if s == source and p not in NOT_SANITIZED]
    run(program, *kept)


def test_runtime_compiles_without_a_warning(
    small: SmallModel, tmp_path: Path, c_compiler: str
) -> None:
    small.write_sources(tmp_path)
    strict = [*WARNINGS, "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-O2"]
    command = [c_compiler, *strict, f"-I{RUNTIME}", f"-I{POOL}", "-c"]
    for source in (*RUNTIME_SOURCES, tmp_path / "tables.c"):
        subprocess.run([*command, str(source), "-o", "/dev/null"], check=True)


def test_header_is_also_cpp(artifact_folder: Path, cxx_compiler: str) -> None:
    command = [cxx_compiler, "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-x", "c++"]
    subprocess.run(
        [*command, "-fsyntax-only", f"-I{artifact_folder}", "-"],
        input='#include "model.h"\nconst luthier_model *m = luthier_small();\n',
        text=True,
        check=True,
    )
