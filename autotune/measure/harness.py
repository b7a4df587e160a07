"""The timing loop in C, compiled once a session, and its types for ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from luthier.schedules import ToolchainError
from luthier.schedules.toolchain import find_compiler

_DISTURBED = 0.1  # a pulse is so much slower (a fraction) than on a quiet machine


class _Kernel(ctypes.Structure):
    _fields_ = (
        ("phases", ctypes.c_void_p),
        ("chunks", ctypes.c_void_p),
        ("count", ctypes.c_int32),
        ("buffers", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
    )


class _Range(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_void_p), ("bytes", ctypes.c_size_t))


class _Caches(ctypes.Structure):
    _fields_ = (
        ("flushed", ctypes.c_void_p),
        ("flushed_count", ctypes.c_int32),
        ("swept", _Range),
        ("touched", ctypes.c_void_p),
        ("touched_count", ctypes.c_int32),
    )


class _Effort(ctypes.Structure):
    _fields_ = (
        ("least", ctypes.c_int32),
        ("most", ctypes.c_int32),
        ("precision", ctypes.c_double),
        ("seconds", ctypes.c_double),
        ("best", ctypes.c_double),
        ("sample_time", ctypes.c_double),
    )


Ranges = Sequence[tuple[int, int]]  # address and bytes of each


@dataclass(frozen=True)
class Caches:
    """What each sample of a timing finds in the caches, in ranges of memory.

    First the ``flushed`` are evicted from all caches. Then each worker reads the ``swept`` one,
    which is as large as the caches that a core has for itself, and the ``touched`` are read, each
    piece by one of the workers: there the kernel before has left it. Nothing is touched where
    nothing is swept.
    """

    flushed: Ranges = ()
    swept: tuple[int, int] = (0, 0)
    touched: Ranges = ()


@dataclass(frozen=True)
class Effort:
    """How hard to time: between ``least`` and ``most`` samples, until the median's 95% interval is
    within ``precision`` (a fraction) or ``seconds`` were spent.

    ``best`` (seconds, 0 for none) is the fastest kernel known: one that is slower by a fraction is
    timed to an eighth of that fraction, and one three times as slow is dropped after half of
    ``least``. Kernels shorter than ``sample_time`` seconds run several times a sample.
    """

    least: int = 6
    most: int = 100
    precision: float = 0.01
    seconds: float = 0.05
    best: float = 0.0
    sample_time: float = 50e-6


def is_disturbed(pulse: float, quiet: float) -> bool:
    """Whether a pulse took longer than it does when the machine is ``quiet``."""
    return pulse > (1 + _DISTURBED) * quiet


def compile_harness(folder: Path) -> Path:
    """The shared library of pool and timing loop, in ``folder``; raises ToolchainError."""
    output = folder / "harness.so"
    with resources.as_file(resources.files("luthier.schedules.native")) as native:
        sources = [str(native / name) for name in ("bench.c", "pool.c", "cores.c", "atfork.c")]
        flags = ["-std=c11", "-O2", "-fPIC", "-shared", "-pthread", f"-I{native}"]
        find_compiler().run([*flags, *sources, "-o", str(output), "-lm"], folder)
    return output


class Harness:
    """The loaded library and a pool of ``threads`` workers, which lives as long as the process."""

    def __init__(self, path: str) -> None:
        """Load; raises ToolchainError where that fails."""
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            raise ToolchainError(f"cannot load the timing loop: {error}") from error
        self._library.luthier_pulse.restype = ctypes.c_double
        self._pool = ctypes.c_void_p()

    def start(self, threads: int) -> None:
        """Start the pool; raises ToolchainError where the system has no threads left."""
        error = self._library.luthier_workers_start(threads, ctypes.byref(self._pool))
        if error:
            raise ToolchainError(f"cannot start {threads} threads (error {error})")

    def stop(self) -> None:
        """End the pool's threads; harmless when repeated."""
        if self._pool:
            self._library.luthier_workers_stop(self._pool)
            self._pool = ctypes.c_void_p()

    def run(self, kernel: KernelCall) -> None:
        """Run once."""
        self._library.luthier_kernel_run(ctypes.byref(kernel.struct), self._pool)

    def pulse(self) -> float:
        """Seconds of a fixed piece of arithmetic on all threads, about a millisecond."""
        return float(self._library.luthier_pulse(self._pool))

    def time(self, kernel: KernelCall, caches: Caches, effort: Effort) -> list[float]:
        """Ascending seconds a run."""
        samples = (ctypes.c_double * effort.most)()
        flushed, touched = _ranges(caches.flushed), _ranges(caches.touched)
        before = _Caches(
            ctypes.addressof(flushed),
            len(caches.flushed),
            _Range(*caches.swept),
            ctypes.addressof(touched),
            len(caches.touched),
        )
        limits = _Effort(
            effort.least,
            effort.most,
            effort.precision,
            effort.seconds,
            effort.best,
            effort.sample_time,
        )
        count = self._library.luthier_kernel_time(
            ctypes.byref(kernel.struct),
            self._pool,
            ctypes.byref(before),
            ctypes.byref(limits),
            samples,
        )
        return list(samples[:count])


def _ranges(ranges: Ranges) -> ctypes.Array[_Range]:
    return (_Range * max(1, len(ranges)))(*(_Range(*each) for each in ranges))


class KernelCall:
    """A kernel's functions and buffers as the timing loop takes them."""

    def __init__(
        self,
        phases: Sequence[int],
        chunks: Sequence[int],
        buffers: Sequence[int],
        scratch: Sequence[int],
    ) -> None:
        """``phases`` are addresses of functions, ``buffers`` and ``scratch`` of memory.

        There is one scratch for each worker.
        """

        def pointers(addresses: Sequence[int]) -> ctypes.Array[ctypes.c_void_p]:
            return (ctypes.c_void_p * len(addresses))(*addresses)

        counts = (ctypes.c_int32 * len(chunks))(*chunks)
        arrays = (pointers(phases), counts, pointers(buffers), pointers(scratch))
        functions, chunk_counts, memory, private = (ctypes.addressof(a) for a in arrays)
        self.struct = _Kernel(functions, chunk_counts, len(phases), memory, private)
        self._keep = arrays
