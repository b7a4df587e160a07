"""Functions in C that kernels call: those of a folder are compiled once in a process, and linked
beside the kernels that need them."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from functools import lru_cache
from importlib import resources
from pathlib import Path

from .temporary import TemporaryFolder
from .toolchain import Compiler, find_compiler, run_tool

NATIVE = Path(str(resources.files("luthier.schedules.native")))
_FLAGS = ("-std=c11", "-O2", "-fPIC", "-fvisibility=hidden", "-ffunction-sections")


def native_objects(folders: Collection[str], compiler: Compiler | None = None) -> list[bytes]:
    """The objects of these folders' sources; raises ToolchainError, and OSError where the disk is
    full."""
    if not folders:
        return []
    compiler = compiler or find_compiler()
    return [each for folder in sorted(folders) for each in _compiled(folder, compiler)]


@lru_cache
def _compiled(folder: str, compiler: Compiler) -> tuple[bytes, ...]:
    sources = sorted((NATIVE / folder).glob("*.c"))
    headers = sorted((NATIVE / folder).glob("*.h"))
    with TemporaryFolder() as place:
        return compiler.compiled(_FLAGS, sources, headers, place)


@lru_cache
def native_library(folder: str) -> ctypes.CDLL:
    """The functions of a folder's sources, in this process."""
    compiler = find_compiler()
    sources = sorted((NATIVE / folder).glob("*.c"))
    with TemporaryFolder() as place:
        flags = [flag for flag in _FLAGS if "visibility" not in flag]
        run_tool([*compiler.command, *flags, "-shared", "-o", "n.so", *map(str, sources)], place)
        return ctypes.CDLL(str(place / "n.so"))
