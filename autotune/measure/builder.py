"""The worker that builds candidates: TVM imported once, schedules in, a shared library out."""

from __future__ import annotations

import functools
import gc
import hashlib
import itertools
import os
import resource
from collections.abc import Mapping
from pathlib import Path

from luthier.schedules import LuthierError, Target, Workload, tvm_late
from luthier.schedules.codegen import compile_object
from luthier.schedules.execute import link
from luthier.schedules.ir.kernel import Array, Kernel
from luthier.schedules.templates import registry

from ..records.record import Outcome
from . import messages
from .inputs import draw
from .limits import clamp, is_limit
from .messages import Build, BuildRequest, Built, Failed
from .worker import serve


def main() -> None:
    """Serve until the input ends, within three quarters of the machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    clamp(resource.RLIMIT_AS, memory * 3 // 4)
    tvm_late.load()  # and not in the time of the first candidate
    gc.freeze()  # what was imported stays: the collector need not look at it again and again
    serve(_build, BuildRequest)


def _build(request: BuildRequest) -> list[Build]:
    """What becomes of each schedule."""
    workload, folder = messages.workload(request.workload), Path(request.folder)
    kernels: dict[str, Kernel] = {}
    constants: dict[str, dict[int, str]] = {}
    built: dict[str, Build] = {}
    for name, schedule in request.schedules.items():
        try:
            kernel = registry.instantiate(workload, request.target, schedule)
            constants[name] = _constants(kernel, request.seed, folder)
            kernels[name] = kernel
        except Exception as error:  # templates and TVM raise whatever they come upon
            built[name] = _failed(error)
    for name, library in _compiled(kernels, request.target, folder).items():
        built[name] = (
            library
            if isinstance(library, Failed)
            else _described(name, kernels[name], library, constants[name])
        )
    return [built[name] for name in request.schedules]


def _described(name: str, kernel: Kernel, library: Path, constants: dict[int, str]) -> Built:
    return Built(
        library=str(library),
        functions=tuple(f"{name}_{i}" for i in range(len(kernel.phases))),
        chunks=tuple(phase.chunks for phase in kernel.phases),
        constants=constants,
        temps=tuple(kernel.temps),
        scratch=kernel.scratch,
    )


def _failed(error: Exception) -> Failed:
    known = isinstance(error, LuthierError)
    detail = str(error) if known else f"{type(error).__name__}: {error}"
    return Failed(Outcome.BUILD_FAILED, detail, is_limit(error))


def _compiled(
    kernels: Mapping[str, Kernel], target: Target, folder: Path
) -> dict[str, Path | Failed]:
    """The library of each kernel: one for all, or where that fails one for each that works."""
    if not kernels:
        return {}
    stem = folder / next(iter(kernels))
    object_file, library = stem.with_suffix(".o"), stem.with_suffix(".so")
    try:
        object_file.write_bytes(compile_object(kernels, target))
        link([object_file], library, [kernel.workload for kernel in kernels.values()])
        object_file.unlink()
    except Exception as error:  # TVM raises whatever its passes come upon
        if len(kernels) == 1:
            return {name: _failed(error) for name in kernels}
        alone = [_compiled({name: kernel}, target, folder) for name, kernel in kernels.items()]
        return dict(itertools.chain.from_iterable(found.items() for found in alone))
    return dict.fromkeys(kernels, library)


def _constants(kernel: Kernel, seed: int, folder: Path) -> dict[int, str]:
    """Files with the packed constant inputs, by index; equal contents share one file."""
    files = {}
    for index, original in _originals(kernel.workload, seed).items():
        data = kernel.pack(index, original).reshape(-1).view("uint8").data
        path = folder / f"{hashlib.sha256(data).hexdigest()[:32]}.bin"
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_bytes(data)
            partial.rename(path)
        files[index] = str(path)
    return files


@functools.lru_cache(maxsize=1)
def _originals(workload: Workload, seed: int) -> dict[int, Array]:
    """Constants as the model has them, kept while candidates are of the same workload."""
    constants = [i for i, constant in enumerate(workload.constants) if constant]
    return {i: draw(workload, i, seed) for i in constants}
