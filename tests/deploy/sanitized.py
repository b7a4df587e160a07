"""C programs with the runtime in them, under sanitizers.

The runtime is the same in all of them: a compiler compiles it once, for all tests and workers.
"""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

from luthier.deploy.library import POOL, RUNTIME, RUNTIME_SOURCES

HERE = Path(__file__).parent
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZERS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-fsanitize=thread",),
}


class Sanitized:
    """``shared`` is a folder of all workers of a test run."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    def program(
        self, compiler: str, sanitizer: str, source: str, sources: Path, *more: str
    ) -> Path:
        """A C file of this folder with the runtime and the tables, weights and kernels.o that are
        among ``sources``; ``more`` are flags of the file, and objects of kernels if others."""
        objects = [name for name in more if name.endswith(".o")] or ["kernels.o"]
        flags = [name for name in more if not name.endswith(".o")]
        command = [*_command(compiler, sanitizer), *flags, "-I.", str(HERE / source)]
        command += map(str, self._runtime(compiler, sanitizer))
        command += ["tables.c", "weights.s", *objects, "-o", "program", "-lm", "-lpthread"]
        subprocess.run(command, cwd=sources, check=True)
        return sources / "program"

    def _runtime(self, compiler: str, sanitizer: str) -> list[Path]:
        folder = self._shared / f"runtime-{compiler}-{sanitizer}"
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "done").exists():
                command = [*_command(compiler, sanitizer), "-c", *map(str, RUNTIME_SOURCES)]
                subprocess.run(command, cwd=folder, check=True)
                (folder / "done").touch()
        return [folder / f"{source.stem}.o" for source in RUNTIME_SOURCES]


def _command(compiler: str, sanitizer: str) -> list[str]:
    flags = [*WARNINGS, "-O1", "-g", *SANITIZERS[sanitizer]]
    return [compiler, *flags, f"-I{RUNTIME}", f"-I{POOL}"]
