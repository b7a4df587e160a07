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

from luthier.schedules import LuthierError, Schedule, Target, Workload, registry, tvm_late
from luthier.schedules.codegen import compile_object
from luthier.schedules.execute import link
from luthier.schedules.kernel import Array, Kernel

from ..records.record import Outcome
from .inputs import draw
from .limits import clamp, is_limit
from .worker import Message, serve


def main() -> None:
    """Serve until the input ends, within three quarters of the machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    clamp(resource.RLIMIT_AS, memory * 3 // 4)
    tvm_late.load()  # and not in the time of the first candidate
    gc.freeze()  # what was imported stays: the collector need not look at it again and again
    serve(lambda request: {"built": _build(request)})


def _build(request: Message) -> list[Message]:
    """For each schedule what the runner needs to know, or ``failed``, ``detail`` and ``limit``."""
    workload = Workload.from_json(request["workload"])
    target = Target.from_json(request["target"])
    folder, seed = Path(request["folder"]), int(request["seed"])
    kernels: dict[str, Kernel] = {}
    answers: dict[str, Message] = {}
    for name, text in request["schedules"].items():
        try:
            kernels[name] = registry.instantiate(workload, target, Schedule.from_json(text))
            answers[name] = _described(name, kernels[name], _constants(kernels[name], seed, folder))
        except Exception as error:  # templates and TVM raise whatever they come upon
            kernels.pop(name, None)
            answers[name] = _failed(error)
    for name, found in _compiled(kernels, target, folder).items():
        answers[name].update(found)
    return list(answers.values())


def _described(name: str, kernel: Kernel, constants: Message) -> Message:
    return {
        "functions": [f"{name}_{i}" for i in range(len(kernel.phases))],
        "chunks": [phase.chunks for phase in kernel.phases],
        "constants": constants,
        "temps": list(kernel.temps),
        "scratch": kernel.scratch,
    }


def _failed(error: Exception) -> Message:
    known = isinstance(error, LuthierError)
    detail = str(error) if known else f"{type(error).__name__}: {error}"
    return {"failed": Outcome.BUILD_FAILED.value, "detail": detail, "limit": is_limit(error)}


def _compiled(kernels: Mapping[str, Kernel], target: Target, folder: Path) -> Mapping[str, Message]:
    """The library of each kernel: one for all, or where that fails one for each that works."""
    if not kernels:
        return {}
    stem = folder / next(iter(kernels))
    object_file, library = stem.with_suffix(".o"), stem.with_suffix(".so")
    try:
        object_file.write_bytes(compile_object(kernels, target))
        link([object_file], library)
        object_file.unlink()
    except Exception as error:  # TVM raises whatever its passes come upon
        if len(kernels) == 1:
            return {name: _failed(error) for name in kernels}
        alone = [_compiled({name: kernel}, target, folder) for name, kernel in kernels.items()]
        return dict(itertools.chain.from_iterable(found.items() for found in alone))
    return {name: {"library": str(library)} for name in kernels}


def _constants(kernel: Kernel, seed: int, folder: Path) -> Message:
    """Files with the packed constant inputs, by index; equal contents share one file."""
    files = {}
    for index, original in _originals(kernel.workload, seed).items():
        data = kernel.pack(index, original).reshape(-1).view("uint8").data
        path = folder / f"{hashlib.sha256(data).hexdigest()[:32]}.bin"
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_bytes(data)
            partial.rename(path)
        files[str(index)] = str(path)
    return files


@functools.lru_cache(maxsize=1)
def _originals(workload: Workload, seed: int) -> dict[int, Array]:
    """Constants as the model has them, kept while candidates are of the same workload."""
    constants = [i for i, constant in enumerate(workload.constants) if constant]
    return {i: draw(workload, i, seed) for i in constants}
