"""The worker that builds candidates: TVM imported once, a schedule in, a shared library out."""

from __future__ import annotations

import functools
import hashlib
import os
import resource
from pathlib import Path

from luthier.schedules import LuthierError, Schedule, Target, Workload, registry
from luthier.schedules.codegen import compile_object
from luthier.schedules.execute import link
from luthier.schedules.kernel import Array, Kernel

from .inputs import draw
from .worker import Message, serve

_SYMBOL = "candidate"


def main() -> None:
    """Serve until the input ends, within three quarters of the machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory * 3 // 4
    resource.setrlimit(resource.RLIMIT_AS, (min(limit, hard) if hard > 0 else limit, hard))
    serve(_answer)


def _answer(request: Message) -> Message:
    try:
        return _build(request)
    except LuthierError as error:
        return {"error": str(error)}
    except OSError as error:  # no fault of the candidate's
        return {"environment": str(error)}
    except Exception as error:  # TVM raises whatever its passes come upon
        return {"error": f"{type(error).__name__}: {error}"}


def _build(request: Message) -> Message:
    workload = Workload.from_json(request["workload"])
    target = Target.from_json(request["target"])
    schedule = Schedule.from_json(request["schedule"])
    folder, seed = Path(request["folder"]), int(request["seed"])
    kernel = registry.instantiate(workload, target, schedule)
    stem = folder / str(request["name"])
    object_file, library = stem.with_suffix(".o"), stem.with_suffix(".so")
    object_file.write_bytes(compile_object({_SYMBOL: kernel}, target))
    link([object_file], library)
    object_file.unlink()
    return {
        "library": str(library),
        "functions": [f"{_SYMBOL}_{i}" for i in range(len(kernel.phases))],
        "chunks": [phase.chunks for phase in kernel.phases],
        "constants": _constants(kernel, workload, seed, folder),
        "temps": list(kernel.temps),
        "scratch": kernel.scratch,
    }


def _constants(kernel: Kernel, workload: Workload, seed: int, folder: Path) -> Message:
    """Files with the packed constant inputs, by index; equal contents share one file."""
    files = {}
    for index, original in _originals(workload, seed).items():
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
