"""Kernels that measure the machine: compiled as a model's are, run by several threads at once."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from luthier.schedules import Kernel, Target
from luthier.schedules.codegen import compile_object
from luthier.schedules.execute import link
from luthier.schedules.target import permission
from luthier.schedules.temporary import TemporaryFolder

ROUNDS = 9

Probe = Callable[[Sequence[NDArray[Any]], int, int], None]


def load(kernel: Kernel, target: Target) -> Probe:
    """The kernel of one phase as a function of its buffers and the chunks from where to where.

    Threads may call it at once. Raises ToolchainError without a linker, TargetError where the
    system forbids what the target has.
    """
    permission.request(target)
    with TemporaryFolder() as folder:
        obj, lib = folder / "probe.o", folder / "probe.so"
        obj.write_bytes(compile_object({"probe": kernel}, target))
        link([obj], lib)
        function = ctypes.CDLL(str(lib)).probe_0

    def run(buffers: Sequence[NDArray[Any]], begin: int, end: int) -> None:
        table = (ctypes.c_void_p * len(buffers))(*(b.ctypes.data for b in buffers))
        function(table, None, begin, end)

    return run


def best_seconds(tasks: Sequence[Callable[[], None]]) -> float:
    """What all tasks take, each in a thread of its own: the best of a few rounds."""
    with ThreadPoolExecutor(len(tasks)) as threads:
        return min(_round(tasks, threads) for _ in range(ROUNDS))


def _round(tasks: Sequence[Callable[[], None]], threads: ThreadPoolExecutor) -> float:
    start = time.perf_counter()
    list(threads.map(lambda task: task(), tasks))
    return time.perf_counter() - start
