"""Runs kernels on NumPy arrays, in this process and thread: for checks, not for timing."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .codegen import compile_object
from .errors import ToolchainError
from .ir.kernel import ALIGNMENT, Array, Kernel
from .ir.workload import Workload
from .natives import native_objects
from .ops import natives
from .target import permission
from .target.target import Target
from .temporary import TemporaryFolder
from .tir.literals import storage
from .toolchain import run_tool


def aligned(nbytes: int) -> Array:
    """Zeroed bytes that start at a multiple of ALIGNMENT."""
    raw = np.zeros(nbytes + ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    return raw[offset : offset + nbytes]


def link(objects: Sequence[Path], output: Path, workloads: Iterable[Workload] = ()) -> None:
    """Link objects of kernels into a shared library with the system's linker, and what kernels of
    these workloads call beside themselves.

    Raises ToolchainError, and OSError where the disk is full.
    """
    called = native_objects(natives(workloads))
    beside = [output.with_suffix(f".{i}.o") for i in range(len(called))]
    for path, data in zip(beside, called, strict=True):
        path.write_bytes(data)
    linker = shutil.which("ld") or shutil.which("cc") or shutil.which("gcc")
    if linker is None:
        raise ToolchainError("no linker (ld, cc or gcc) is on the PATH; install a C compiler")
    paths = (str(path.absolute()) for path in (output, *objects, *beside))
    run_tool([linker, "-shared", "-o", *paths, "-lm"], output.absolute().parent)
    for path in beside:
        path.unlink()


class LoadedKernel:
    """A kernel's machine code in this process."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        permission.request(target)
        self._kernel = kernel
        with TemporaryFolder() as folder:
            obj, lib = folder / "k.o", folder / "k.so"
            obj.write_bytes(compile_object({"k": kernel}, target))
            link([obj], lib, [kernel.workload])
            self._library = ctypes.CDLL(str(lib))

    def run(self, inputs: Sequence[Array]) -> Array:
        """The kernel's output for ``inputs``, given unpacked in the workload's order."""
        kernel, workload = self._kernel, self._kernel.workload
        packed = [
            kernel.pack(i, a) if c else a
            for i, (a, c) in enumerate(zip(inputs, workload.constants, strict=True))
        ]
        blocks = [aligned(n) for n in (*(array.nbytes for array in packed), *kernel.temps)]
        for array, block in zip(packed, blocks, strict=False):
            block[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        out = aligned(workload.output.nbytes)
        table = (ctypes.c_void_p * (len(blocks) + 1))(*[b.ctypes.data for b in (*blocks, out)])
        scratch = aligned(kernel.scratch)
        for i, phase in enumerate(kernel.phases):
            self._library[f"k_{i}"](table, ctypes.c_void_p(scratch.ctypes.data), 0, phase.chunks)
        dtype = workload.output.element.numpy
        result = out.view(storage(workload.output.dtype)).reshape(workload.output.shape)
        return np.asarray(result.astype(dtype) if dtype == np.bool_ else result.view(dtype))
