"""The C compiler of this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.schedules import ToolchainError


@dataclass(frozen=True)
class Compiler:
    """A C compiler that also links: its command, and what it says of itself."""

    command: tuple[str, ...]
    version: str

    def run(self, arguments: Sequence[str], folder: Path) -> None:
        """Call it in ``folder``; raises ToolchainError with its first complaint."""
        done = _call([*self.command, *arguments], folder)
        if done.returncode:
            raise ToolchainError(f"{self.command[0]} failed: {_complaint(done.stderr)}")


def find_compiler() -> Compiler:
    """``$CC``, else cc, gcc or clang; raises ToolchainError where there is none that works."""
    wanted = os.environ.get("CC", "").strip()
    try:
        candidates = [tuple(shlex.split(wanted))] if wanted else [("cc",), ("gcc",), ("clang",)]
    except ValueError as error:
        raise ToolchainError(f"CC={wanted!r} is no command: {error}") from error
    for command in candidates:
        if shutil.which(command[0]):
            done = _call([*command, "--version"], Path.cwd())
            if done.returncode == 0 and done.stdout:
                return Compiler(command, done.stdout.splitlines()[0].strip())
    tried = " ".join(candidates[0]) if wanted else "cc, gcc or clang"
    raise ToolchainError(f"no C compiler works ({tried}); install gcc or clang, or set CC")


def _call(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ToolchainError(f"cannot run {command[0]}: {error.strerror}") from error


def _complaint(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line or "undefined" in line]
    return (telling or lines or ["it gave no reason"])[0]
