"""Workers from outside: start, ask, and what a crash or a hang leaves."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
REQUESTS = 60  # that one process answers, before another takes its place


class DeadError(Exception):
    """A worker ended or was ended: whether it hung, why, and what it did last."""

    def __init__(self, hung: bool, why: str, doing: str, seed: str) -> None:
        super().__init__(f"{why} ({doing})")
        self.hung, self.doing, self.seed = hung, doing, seed


class Worker:
    """One process; started when it is first asked, and again after it died."""

    def __init__(self, program: str = "tests.fuzz.worker") -> None:
        """``program`` is the module that runs; the tests have one with faults."""
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        self._answers = -1
        self._read = b""
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - see close
        self._asked = 0

    def ask(self, request: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """The outcomes of a request; raises DeadError where the worker dies or takes longer."""
        if self._asked >= REQUESTS:
            self.close()
        process = self._started()
        self._asked += 1
        doing: dict[str, str] = {"doing": "start", "seed": ""}
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            for answer in self._lines(seconds):
                if "outcomes" in answer:
                    return list(answer["outcomes"])
                doing = answer
        except BrokenPipeError:
            pass
        hung = process.poll() is None and not self._ended()
        why = f"not done in {seconds:.0f} s" if hung else self._last_words(process)
        self.close()
        raise DeadError(hung, why, doing["doing"], doing["seed"])

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            read, write = os.pipe()
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._program, str(write)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=self._errors,
                stderr=self._errors,
                text=True,
                pass_fds=[write],
                start_new_session=True,
            )
            os.close(write)
            self._answers, self._read = read, b""
        return self._process

    def _lines(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Answers until there is none for ``seconds``, or the process ends."""
        while select.select([self._answers], [], [], seconds)[0]:
            read = os.read(self._answers, 1 << 16)
            if not read:
                return
            *lines, self._read = (self._read + read).split(b"\n")
            yield from map(json.loads, lines)

    def _ended(self) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert self._process is not None
            self._process.wait(0.5)
            return True
        return False

    def _last_words(self, process: subprocess.Popen[str]) -> str:
        code = process.wait()
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 2000))
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{why}: {lines[-1][:200]}" if lines else why

    def close(self) -> None:
        """End the process and what it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
            os.close(self._answers)
        self._process, self._asked = None, 0

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self._errors.close()
