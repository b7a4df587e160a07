"""Worker processes that live on between requests, and how both sides talk.

Messages are JSON objects, one a line, over the worker's standard input and output. A worker ends
when its input ends, so none outlives the process that started it. It leads a session of its own:
Ctrl-C in a terminal does not reach it, and its whole process group can be killed at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .record import one_line

Message = dict[str, Any]

# Isolated mode keeps the current folder and the environment from choosing what is imported. TVM
# imports torch where that is installed, which takes seconds; no worker needs it.
_BOOT = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "sys.modules['torch'] = None;"
    "importlib.import_module(sys.argv[2]).main()"
)
_STDERR_KEPT = 64 * 1024


class WorkerLost(Exception):  # noqa: N818 - an event, handled inside this room
    """The worker died, or took too long and was killed; the message says which."""

    def __init__(self, reason: str, timed_out: bool) -> None:
        """``reason`` continues a sentence: 'the build died'."""
        super().__init__(reason)
        self.timed_out = timed_out


class Worker:
    """The parent's end of a process that runs ``module.main``."""

    def __init__(self, module: str, folder: Path) -> None:
        """Start it; what it prints and its temporary files go to ``folder``."""
        self._stderr = tempfile.TemporaryFile("ab+", dir=folder)  # noqa: SIM115 - closed by stop
        command = [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path), module]
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            start_new_session=True,
            env={**os.environ, **threads, "TMPDIR": str(folder)},
        )
        self._pending = b""
        self.served = 0

    @property
    def pid(self) -> int:
        """Process and process group."""
        return self._process.pid

    def fileno(self) -> int:
        """Readable when an answer, or the end, has come."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def send(self, message: Message) -> None:
        """Ask; raises WorkerLost where nobody listens."""
        if self._stderr.tell() > _STDERR_KEPT:
            self._stderr.truncate(0)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            raise self._lost("died") from None

    def receive(self, deadline: float) -> Message:
        """The next answer; raises WorkerLost at ``deadline`` (``time.monotonic``) or its death."""
        while b"\n" not in self._pending:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self], [], [], left)[0]:
                raise self._lost("took too long", timed_out=True)
            data = os.read(self.fileno(), 1 << 16)
            if not data:
                raise self._lost("died")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        self.served += 1
        answer: Message = json.loads(line)
        return answer

    def stop(self) -> None:
        """Kill its process group and wait for it; harmless when repeated."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _lost(self, what: str, timed_out: bool = False) -> WorkerLost:
        with contextlib.suppress(OSError, ValueError):
            self._stderr.flush()
        said = self._last_words()
        self.stop()
        code = self._process.returncode
        if not timed_out and code < 0:
            what = (
                f"was killed by {signal.Signals(-code).name}" if -code != signal.SIGKILL else what
            )
        return WorkerLost(f"{what}: {said}" if said else what, timed_out)

    def _last_words(self) -> str:
        try:
            size = os.fstat(self._stderr.fileno()).st_size
            return one_line(
                os.pread(self._stderr.fileno(), 2000, max(0, size - 2000)).decode("replace")
            )
        except (OSError, ValueError, LookupError):
            return ""


def wait_any(workers: Sequence[Worker], seconds: float) -> list[Worker]:
    """Those that have something to say within the time."""
    return select.select(workers, [], [], max(0.0, seconds))[0] if workers else []


def serve(handle: Callable[[Message], Message]) -> None:
    """The worker's side: answer requests until the input ends.

    What the code under it prints to standard output goes to standard error instead.
    """
    answers = os.dup(1)
    os.dup2(2, 1)
    os.set_inheritable(answers, False)
    requests = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for line in requests:
        answer = json.dumps(handle(json.loads(line))).encode() + b"\n"
        while answer:
            answer = answer[os.write(answers, answer) :]
