"""The C compiler of this machine."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ToolchainError
from .interrupt import held_back
from .kept import is_kept, kept

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HEEDED = ("CPATH", "C_INCLUDE_PATH", "COMPILER_PATH", "GCC_", "CCC_")  # by gcc and clang


@dataclass(frozen=True)
class Compiler:
    """A C compiler that also links: its command, and what it says of itself."""

    command: tuple[str, ...]
    version: str

    def run(self, arguments: Sequence[str], folder: Path) -> None:
        """Call it in ``folder``, where its temporary files are, too.

        Raises ToolchainError with its first complaint, and OSError where the disk is full or files
        may not be as large.
        """
        run_tool([*self.command, *arguments], folder)

    def compiled(
        self, flags: Sequence[str], sources: Sequence[Path], headers: Sequence[Path], folder: Path
    ) -> tuple[bytes, ...]:
        """The objects of ``sources``, which include some of ``headers``, made in ``folder``, or
        kept from an earlier process; raises as ``run`` does."""
        names = [f"{source.stem}.o" for source in sources]

        def make() -> list[bytes]:
            self.run([*flags, "-c", *map(str, sources)], folder)
            found = [(folder / name).read_bytes() for name in names]
            for name in names:
                (folder / name).unlink()
            return found

        if not is_kept():
            return tuple(make())
        told = json.dumps([self.command, self.version, self._program(), flags, names])
        texts = (path.read_bytes() for path in (*sources, *headers))
        return kept([told.encode(), *texts], make)

    def _program(self) -> list[object]:
        """Which program runs, and what of the environment it heeds."""
        path = os.path.realpath(shutil.which(self.command[0]) or self.command[0])
        about = os.stat(path)
        heeded = {n: v for n, v in os.environ.items() if n.startswith(_HEEDED)}
        return [path, about.st_size, about.st_mtime_ns, heeded]


def run_tool(command: Sequence[str], folder: Path) -> None:
    """Call a compiler or linker; see ``Compiler.run``."""
    done = _call(command, folder)
    if done.returncode:
        _check_disk(done, folder)
        raise ToolchainError(f"{command[0]} failed: {_complaint(done.stderr)}")


def find_compiler() -> Compiler:
    """``$CC``, else cc, gcc or clang; raises ToolchainError where there is none that works."""
    wanted = os.environ.get("CC", "").strip()
    try:
        candidates = [tuple(shlex.split(wanted))] if wanted else [("cc",), ("gcc",), ("clang",)]
    except ValueError as error:
        raise ToolchainError(f"CC={wanted!r} is not a command: {error}") from error
    for command in candidates:
        if shutil.which(command[0]):
            done = _call([*command, "--version"])
            if done.returncode == 0 and done.stdout:
                return Compiler(command, done.stdout.splitlines()[0].strip())
    tried = " ".join(candidates[0]) if wanted else "cc, gcc or clang"
    raise ToolchainError(f"no C compiler works ({tried}); install gcc or clang, or set CC")


def _call(command: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Its output; where this process is interrupted, it ends with all that it started."""
    process: subprocess.Popen[str] | None = None
    try:
        with held_back():  # until there is a name for what has to end
            process = _start(command, folder)
        out, said = process.communicate()
    except BaseException:
        if process is not None:
            with process, contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, said)


def _start(command: Sequence[str], folder: Path | None) -> subprocess.Popen[str]:
    temporary = {} if folder is None else {"TMPDIR": str(folder)}
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **temporary, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a process group that can be killed as a whole
        )
    except OSError as error:
        raise ToolchainError(f"cannot run {command[0]}: {error.strerror}") from error


def _check_disk(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    """Raise OSError where it was the disk that failed, or the limit of files' sizes."""
    too_large = done.returncode == -signal.SIGXFSZ or "File size limit exceeded" in done.stderr
    for number in _DISK_ERRORS:
        if os.strerror(number) in done.stderr or (number == errno.EFBIG and too_large):
            raise OSError(number, os.strerror(number), str(folder))


def _complaint(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line or "undefined" in line]
    return (telling or lines or ["it gave no reason"])[0]
