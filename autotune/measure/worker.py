"""Worker processes that live on between requests, and how both sides talk.

Messages (see ``messages``) are JSON, one a line, over the worker's standard input and output. A
worker ends when its input ends, so none outlives the process that started it. It leads a session of
its own: Ctrl-C in a terminal does not reach it, and its whole process group can be killed at once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from luthier.schedules import ToolchainError

from ..records.record import one_line
from . import limits

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")

# Isolated mode keeps the current folder and the environment from choosing what is imported. TVM
# imports torch where that is installed, which takes seconds; no worker needs it.
_BOOT = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "sys.modules['torch'] = None;"
    "importlib.import_module(sys.argv[2]).main()"
)
_STDERR_KEPT = 64 * 1024
_SENDING = 60.0  # seconds that a worker may take to start and read a request
_DYING = 2.0  # seconds from its last word to its end
_LONGEST_ANSWER = 1 << 26  # bytes
_STARTS = 5  # tries to start a process where the system has none left at the moment
_PAUSE = 0.4  # seconds between them


class WorkerLost(Exception):  # noqa: N818 - an event, handled inside this room
    """The worker died, or took too long and was killed; the message says which.

    ``limit``: the machine ended it, and not what it worked on (see ``limits``).
    """

    def __init__(self, reason: str, *, timed_out: bool = False, limit: bool = False) -> None:
        """``reason`` continues a sentence: 'the build died'."""
        super().__init__(reason)
        self.timed_out, self.limit = timed_out, limit


class Worker:
    """The parent's end of a process that runs ``module.main``."""

    def __init__(self, module: str, folder: Path) -> None:
        """Start it; what it prints and its temporary files go to ``folder``.

        Raises ToolchainError where the system does not let it.
        """
        self._process, self._stderr = _started(module, folder)
        self._pending = b""
        self._said = 0  # bytes of its standard error before the request at hand
        self.served = 0

    @property
    def pid(self) -> int:
        """Process and process group."""
        return self._process.pid

    def fileno(self) -> int:
        """Readable when an answer, or the end, has come."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def send(self, message: object) -> None:
        """Ask; raises WorkerLost where nobody listens."""
        said = os.fstat(self._stderr.fileno()).st_size
        if said > _STDERR_KEPT:
            self._stderr.truncate(0)
            self._said = said = 0
        assert self._process.stdin is not None
        descriptor, deadline = self._process.stdin.fileno(), time.monotonic() + _SENDING
        rest = memoryview(msgspec.json.encode(message) + b"\n")
        while rest:
            left = deadline - time.monotonic()
            if not _ready([descriptor], select.POLLOUT, left):
                raise self._lost("did not listen", timed_out=True)
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._lost("died") from None
        self._said = said

    def receive(self, deadline: float, kind: type[_Answer]) -> _Answer:
        """The next answer, which is of this kind.

        Raises WorkerLost at ``deadline`` (``time.monotonic``) or its death.
        """
        while b"\n" not in self._pending:
            if not _ready([self.fileno()], select.POLLIN, deadline - time.monotonic()):
                raise self._lost("took too long", timed_out=True)
            data = os.read(self.fileno(), 1 << 16)
            if not data:
                raise self._lost("died")
            self._pending += data
            if len(self._pending) > _LONGEST_ANSWER:
                raise self._lost("gave an answer without end")
        line, _, self._pending = self._pending.partition(b"\n")
        self.served += 1
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError:
            raise self._lost("gave an answer that is none") from None

    def stop(self) -> None:
        """Kill its process group and wait for it; harmless when repeated."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _lost(self, what: str, *, timed_out: bool = False) -> WorkerLost:
        if not timed_out:  # else its end would look like ours
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_DYING)
        code, said = self._process.poll(), self._last_words()
        self.stop()
        killed = not timed_out and code is not None and code < 0
        if code is not None and killed:
            what = f"was killed by {limits.signal_name(-code)}"
        limit = limits.tells(said) or (killed and limits.is_outside(-(code or 0)))
        last = one_line(said)
        return WorkerLost(f"{what}: {last}" if last else what, timed_out=timed_out, limit=limit)

    def _last_words(self) -> str:
        """What it printed since it was asked, the end of it."""
        with contextlib.suppress(OSError, ValueError):
            size = os.fstat(self._stderr.fileno()).st_size
            begin = max(self._said, size - 2000)
            return os.pread(self._stderr.fileno(), size - begin, begin).decode(errors="replace")
        return ""


def _started(module: str, folder: Path) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """The process and its standard error; the system may be short of processes for a moment."""
    for attempt in range(_STARTS):
        try:
            return _start(module, folder)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOMEM) or attempt == _STARTS - 1:
                raise ToolchainError(
                    f"cannot start a process that measures: {error.strerror or error} (see "
                    f"'ulimit -a', and what else runs here)"
                ) from error
        time.sleep(_PAUSE)
    raise AssertionError


def _start(module: str, folder: Path) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    command = [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path), module]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with contextlib.ExitStack() as failed:
        said = failed.enter_context(tempfile.TemporaryFile("ab+", dir=folder))
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            bufsize=0,
            start_new_session=True,
            env={**os.environ, **threads, "TMPDIR": str(folder)},
        )
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        failed.pop_all()
    return process, said


def wait_any(workers: Sequence[Worker], seconds: float) -> list[Worker]:
    """Those that have something to say within the time."""
    found = _ready((worker.fileno() for worker in workers), select.POLLIN, seconds)
    return [worker for worker in workers if worker.fileno() in found]


def _ready(descriptors: Iterable[int], event: int, seconds: float) -> set[int]:
    """Which of them can be read or written, or have ended, within the time."""
    poller = select.poll()  # select knows the first 1024 descriptors only
    for descriptor in descriptors:
        poller.register(descriptor, event)
    return {descriptor for descriptor, _ in poller.poll(math.ceil(1000 * max(0.0, seconds)))}


def serve(handle: Callable[[_Asked], object], kind: type[_Asked]) -> None:
    """The worker's side: answer requests of this kind until the input ends.

    What the code under it prints to standard output goes to standard error instead.
    """
    answers = os.dup(1)
    os.dup2(2, 1)
    os.set_inheritable(answers, False)
    requests = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for line in requests:
        answer = msgspec.json.encode(handle(msgspec.json.decode(line, type=kind))) + b"\n"
        while answer:
            answer = answer[os.write(answers, answer) :]
