"""The worker pool and the timing loop, compiled and run under sanitizers."""

from __future__ import annotations

import subprocess
from importlib import resources
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = Path(str(resources.files("luthier.schedules.native")))
STRICT = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{NATIVE}")
POOL = tuple(str(NATIVE / name) for name in ("pool.c", "cores.c", "atfork.c"))
SANITIZERS = {
    "plain": (),
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-fsanitize=thread",),
}


def compile_and_run(tmp_path: Path, compiler: str, *arguments: str) -> None:
    program = tmp_path / "program"
    command = [compiler, *STRICT, *arguments, "-o", str(program), "-lpthread"]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_pool_under_stress(tmp_path: Path, c_compiler: str, sanitizer: str) -> None:
    flags = SANITIZERS[sanitizer]
    sources = [*POOL, str(HERE / "pool_stress.c")]
    compile_and_run(tmp_path, c_compiler, *flags, *sources)


def test_caller_finishes_alone_when_no_worker_ever_runs(tmp_path: Path, c_compiler: str) -> None:
    sources = [str(HERE / "pool_absent.c"), *POOL[1:]]
    compile_and_run(tmp_path, c_compiler, *sources)


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_the_timing_loop(tmp_path: Path, c_compiler: str, sanitizer: str) -> None:
    flags = SANITIZERS[sanitizer]
    sources = [*POOL, str(HERE / "bench_loop.c")]
    compile_and_run(tmp_path, c_compiler, *flags, *sources, "-lm")


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_threads_may_run_where_they_might_before(
    tmp_path: Path, c_compiler: str, sanitizer: str
) -> None:
    sources = [str(NATIVE / "cores.c"), str(HERE / "cores_stay.c")]
    compile_and_run(tmp_path, c_compiler, *SANITIZERS[sanitizer], *sources)
