"""The worker that runs candidates: small, without TVM, and a child process for each of them.

A candidate may crash, hang, take all memory or write where it must not: that costs its child, and
the child's end says how. Inputs are read-only for it, and outputs lie between guard bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import math
import mmap
import os
import resource
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from luthier.schedules import ALIGNMENT, Tensor, Workload
from luthier.schedules.ir.kernel import Array
from luthier.schedules.target import available_cores, permission

from ..records.record import Outcome
from . import limits, messages
from .harness import Caches, Harness, KernelCall, is_disturbed
from .inputs import draw
from .messages import Ran, RunRequest
from .worker import serve

RTOL, ATOL = 1e-3, 1e-4  # ATOL is a fraction of the reference's largest magnitude
_OF_BF16 = (3e-2, 2e-2)  # the same where operands may be rounded to bfloat16
_GUARD = 4 * ALIGNMENT
_FILL = 0xFF  # NaN in every float type
_HEADROOM = 1 << 30  # bytes of address space beyond what the candidate was given
_PULSES = 64  # so many last ones tell what quiet is; clocks may change over the hours
_LOST_IN_CACHE = 4  # constants larger than so many L3 caches evict themselves
_libc = ctypes.CDLL(None, use_errno=True)
_pulses: deque[float] = deque(maxlen=_PULSES)


def main() -> None:
    """Serve until the input ends."""
    gc.freeze()  # in the children, the collector would write to every page, and so copy it
    serve(_answer, RunRequest)


def _answer(request: RunRequest) -> Ran:
    workload = messages.workload(request.workload)
    activations = _activations(workload, request.seed)
    harness = _harness(request.harness)
    quiet = min(_pulses, default=math.inf)
    if request.swept:
        _sweep(request.target.l2)  # its children then share it
    cores = available_cores()
    ran = _in_child(
        lambda: _candidate(request, workload, activations, harness, quiet), request.timeout
    )
    if ran.pulse is not None:
        _pulses.append(ran.pulse)
    return msgspec.structs.replace(ran, cores=min(cores, available_cores()))


@functools.lru_cache(maxsize=1)
def _harness(path: str) -> Harness:
    return Harness(path)


@functools.lru_cache(maxsize=1)
def _activations(workload: Workload, seed: int) -> dict[int, tuple[int, int, Any]]:
    """(address, bytes, owner) of each input that is not a constant, on pages of its own."""
    found = {}
    for index, constant in enumerate(workload.constants):
        if not constant:
            data = draw(workload, index, seed).reshape(-1).view(np.uint8)
            pages = mmap.mmap(-1, max(1, data.nbytes), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            block = np.frombuffer(pages, np.uint8)
            block[: data.nbytes] = data
            found[index] = (block.ctypes.data, block.nbytes, (pages, block))
    return found


def _in_child(work: Callable[[], Ran], seconds: float) -> Ran:
    """What ``work`` returns in a forked child within so long, or how the child ended."""
    readable, writable = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        os.close(readable)
        os.close(writable)
        return Ran(Outcome.CRASHED, f"cannot start a process: {error.strerror}", limit=True)
    if child == 0:
        _be_child(work, writable)
    os.close(writable)
    try:
        text = _read_all(readable, time.monotonic() + seconds)
    finally:
        os.close(readable)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if text is None:
        return Ran(Outcome.TIMED_OUT, f"ran longer than {seconds:g} s")
    try:
        return msgspec.json.decode(text, type=Ran)
    except msgspec.DecodeError:
        outside = os.WIFSIGNALED(status) and limits.is_outside(os.WTERMSIG(status))
        return Ran(Outcome.CRASHED, _how_it_ended(status), limit=outside)


def _be_child(work: Callable[[], Ran], writable: int) -> None:
    """Never returns."""
    code = 1
    try:
        os.closerange(3, writable)  # a candidate gone wild must not speak for the runner
        os.closerange(writable + 1, writable + 64)
        _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: do not outlive the runner
        limits.clamp(resource.RLIMIT_CORE, 0)
        limits.clamp(resource.RLIMIT_FSIZE, 1 << 32)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        os.write(writable, msgspec.json.encode(work()))
        code = 0
    except Exception as error:  # out of memory, a library that does not load
        detail = f"{type(error).__name__}: {error}"
        crashed = Ran(Outcome.CRASHED, detail, limit=limits.is_limit(error))
        os.write(writable, msgspec.json.encode(crashed))
    finally:
        os._exit(code)


def _read_all(fd: int, deadline: float) -> bytes | None:
    """Everything until the writer ends; None at the deadline."""
    data = b""
    while True:
        if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return None
        piece = os.read(fd, 1 << 16)
        if not piece:
            return data
        data += piece


def _how_it_ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {limits.signal_name(os.WTERMSIG(status))}"
    return f"ended with exit code {os.WEXITSTATUS(status)}"


class _Block:
    """Bytes at a multiple of ALIGNMENT, filled with ``_FILL``, between guards."""

    def __init__(self, nbytes: int) -> None:
        raw = np.full(nbytes + 2 * _GUARD + ALIGNMENT, _FILL, np.uint8)
        start = _GUARD + (-(raw.ctypes.data + _GUARD)) % ALIGNMENT
        self.data = raw[start : start + nbytes]
        self._guards = raw[:start], raw[start + nbytes :]
        self.address: int = raw.ctypes.data + start

    @property
    def overrun(self) -> bool:
        """Whether something wrote outside."""
        return any((guard != _FILL).any() for guard in self._guards)


def _candidate(
    request: RunRequest,
    workload: Workload,
    activations: dict[int, tuple[int, int, Any]],
    harness: Harness,
    quiet: float,
) -> Ran:
    """Load, run, check, time, check again; ``quiet`` is the pulse of the undisturbed machine."""
    built, threads = request.built, request.target.threads
    for address, nbytes, _ in activations.values():
        _libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(nbytes), mmap.PROT_READ)
    constants = {i: _mapped(path) for i, path in built.constants.items()}
    output = _Block(workload.output.nbytes)
    temps = [_Block(n) for n in built.temps]
    scratch = [_Block(built.scratch) for _ in range(threads)]
    _limit_memory(threads)
    inputs = [
        activations[i][0] if i in activations else int(constants[i].ctypes.data)
        for i in range(len(workload.inputs))
    ]
    permission.request(request.target)
    library = ctypes.CDLL(built.library)
    functions = [library[name] for name in built.functions]
    addresses = [int(ctypes.cast(f, ctypes.c_void_p).value or 0) for f in functions]
    kernel = KernelCall(
        addresses,
        built.chunks,
        [*inputs, *(t.address for t in temps), output.address],
        [s.address for s in scratch],
    )
    harness.start(threads)
    harness.run(kernel)

    def complaint() -> str:
        if any(block.overrun for block in (output, *temps, *scratch)):
            return "wrote outside its buffers"
        return _difference(output.data, workload.output, request.reference, request.target.accuracy)

    if wrong := complaint():
        return Ran(Outcome.WRONG_RESULT, wrong)
    if request.store:
        partial = Path(request.store).with_suffix(".part")
        partial.write_bytes(output.data.data)
        partial.rename(request.store)
    ran, effort = Ran(Outcome.OK), request.effort
    if effort:
        caches = _caches(request, constants.values(), activations.values())
        ran = timed(lambda: harness.time(kernel, caches, effort), harness.pulse, quiet)
    if wrong := complaint():
        return Ran(Outcome.WRONG_RESULT, f"in a later run: {wrong}")
    return ran


def _caches(
    request: RunRequest,
    constants: Collection[Array],
    activations: Iterable[tuple[int, int, Any]],
) -> Caches:
    """What the kernel finds there inside of its model."""
    if request.swept:
        sweep = _sweep(request.target.l2)
        touched = [(address, nbytes) for address, nbytes, _ in activations]
        return Caches(swept=(int(sweep.ctypes.data), sweep.nbytes), touched=touched)
    small = sum(c.nbytes for c in constants) < _LOST_IN_CACHE * request.target.l3
    flushed = constants if request.cold and small else ()
    return Caches([(int(c.ctypes.data), c.nbytes) for c in flushed])


@functools.lru_cache(maxsize=1)
def _sweep(nbytes: int) -> Array:
    """Memory that fills a core's own caches."""
    return np.ones(nbytes, np.uint8)


def timed(time_kernel: Callable[[], list[float]], pulse: Callable[[], float], quiet: float) -> Ran:
    """Samples of the kernel, between two pulses; taken once more where these show noise.

    ``pulse`` times something that never changes, and took ``quiet`` seconds at best. ``disturbed``
    says that the second try was noisy, too.
    """
    fastest = quiet
    for _ in range(2):
        pulses = [pulse()]
        samples = time_kernel()
        pulses.append(pulse())
        fastest = min(fastest, *pulses)
        disturbed = is_disturbed(max(pulses), fastest)
        if not disturbed:
            break
    return Ran(Outcome.OK, "", tuple(samples), disturbed, pulse=min(pulses))


def _mapped(path: str) -> Array:
    """A file's bytes, read-only and page-aligned, as weights lie in a model's library."""
    if not Path(path).stat().st_size:
        return np.zeros(ALIGNMENT, np.uint8)
    return np.memmap(path, np.uint8, "r")


def _limit_memory(threads: int) -> None:
    """Grant little more address space than is used now; a thread's stack and heap take some."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * mmap.PAGESIZE + _HEADROOM + threads * (160 << 20)
    limits.clamp(resource.RLIMIT_AS, limit)


def _difference(data: Array, tensor: Tensor, reference: str | None, accuracy: str) -> str:
    """Why the output is not the reference's; empty where it is, or where there is none."""
    if reference is None or not tensor.nbytes:
        return ""
    storage = np.dtype(tensor.element.storage)
    expected, actual = np.fromfile(reference, storage), data.view(storage)
    if np.array_equal(actual, expected):
        return ""
    if tensor.element.is_narrow:
        dtype, wide = tensor.element.numpy, tensor.element.computed.numpy
        expected, actual = (bits.view(dtype).astype(wide) for bits in (expected, actual))
    if not tensor.element.is_float:
        wrong = np.flatnonzero(actual != expected)
    else:
        with np.errstate(all="ignore"):
            finite = np.abs(expected[np.isfinite(expected)])
            rtol, share = _OF_BF16 if accuracy == "bf16" else (RTOL, ATOL)
            atol = share * float(finite.max(initial=0))
            close = np.isclose(actual, expected, rtol, atol, equal_nan=True)
        wrong = np.flatnonzero(~close)
    if not wrong.size:
        return ""
    first = int(wrong[0])
    return (
        f"{wrong.size} of {tensor.size} elements differ from the default schedule's, the first "
        f"(element {first}) is {actual[first]:g} and not {expected[first]:g}"
    )
