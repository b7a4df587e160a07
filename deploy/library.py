"""Links tables, weights, kernels and the runtime into one shared library."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from luthier.schedules import Workload
from luthier.schedules.natives import NATIVE, native_objects
from luthier.schedules.ops import natives
from luthier.schedules.toolchain import Compiler

from .layout import AnyKernel, Tables
from .tables import WEIGHTS_SOURCE, emit, exports

RUNTIME = Path(str(resources.files("luthier.deploy.runtime")))
POOL = NATIVE
RUNTIME_SOURCES = (
    POOL / "pool.c",
    POOL / "cores.c",
    POOL / "atfork.c",
    RUNTIME / "instance.c",
    RUNTIME / "sizes.c",
    RUNTIME / "shapes.c",
    RUNTIME / "states.c",
    RUNTIME / "run.c",
    RUNTIME / "errors.c",
    RUNTIME / "cpu.c",
    RUNTIME / "quota.c",
)

_COMPILE = (
    *("-std=c11", "-O2", "-fPIC", "-fvisibility=hidden", "-ffunction-sections"),
    *(f"-I{RUNTIME}", f"-I{POOL}"),
)
_LINK = (
    "-shared",
    "-static-libgcc",
    "-Wl,--version-script=exports.map",
    "-Wl,-z,defs",
    "-Wl,-z,noexecstack",
    "-Wl,-z,relro,-z,now",
    "-Wl,--gc-sections",
    "-Wl,--strip-all",
    "-Wl,--as-needed",
)


def link_library(
    tables: Tables, weights: Path, objects: Sequence[bytes], compiler: Compiler, out: Path
) -> None:
    """Write the library ``out``; ``objects`` hold the kernels' functions.

    ``weights`` is a file beside ``out`` and is consumed. Raises ToolchainError, and
    ModelError as ``emit`` does.
    """
    with tempfile.TemporaryDirectory(prefix=".link-", dir=out.parent) as scratch:
        folder = Path(scratch)
        weights.rename(folder / "weights.bin")
        (folder / "weights.s").write_text(WEIGHTS_SOURCE)
        (folder / "tables.c").write_text(emit(tables))
        (folder / "exports.map").write_text(exports(tables))
        runtime = _written(folder, "runtime", _runtime(compiler, folder))
        kernels = _written(folder, "kernels", objects)
        called = natives(_workload(kernel) for kernel in tables.kernels)
        beside = _written(folder, "beside", native_objects(called, compiler))
        sources = [*runtime, "tables.c", "weights.s", *kernels, *beside]
        link = [*_LINK, f"-Wl,-soname,lib{tables.name}.so", "-o", "library.so"]
        libraries = ["-lm", "-lpthread"]
        compiler.run([*_COMPILE, *link, *sources, *libraries], folder)
        library = folder / "library.so"
        library.chmod(0o644)
        library.rename(out)


def _workload(kernel: AnyKernel) -> Workload:
    found = kernel.workload
    return found if isinstance(found, Workload) else found.workload


def _written(folder: Path, name: str, objects: Sequence[bytes]) -> list[str]:
    """The names of files with these objects."""
    names = [f"{name}_{i}.o" for i in range(len(objects))]
    for each, data in zip(names, objects, strict=True):
        (folder / each).write_bytes(data)
    return names


def _runtime(compiler: Compiler, folder: Path) -> tuple[bytes, ...]:
    """The runtime's objects, which are the same in all libraries: a process compiles them once."""
    if compiler not in _runtimes:
        headers = sorted((*RUNTIME.glob("*.h"), *POOL.glob("*.h")))
        _runtimes[compiler] = compiler.compiled(_COMPILE, RUNTIME_SOURCES, headers, folder)
    return _runtimes[compiler]


_runtimes: dict[Compiler, tuple[bytes, ...]] = {}
