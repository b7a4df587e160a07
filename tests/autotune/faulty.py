"""A builder that builds nothing, and does what a file of words tells it: one word a request."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from luthier.autotune.measure.messages import Build, BuildRequest, Built
from luthier.autotune.measure.worker import serve


def plan(folder: Path, *words: str) -> None:
    """What the next builders do, in turns; nothing odd after the last word."""
    (folder / "plan").write_text(" ".join(words))


def main() -> None:
    if (Path(os.environ["TMPDIR"]) / "deaf").exists():
        sys.exit("MemoryError")
    serve(_answer, BuildRequest)


def _next() -> str:
    with (Path(os.environ["TMPDIR"]) / "plan").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        word, *rest = file.read().split() or ["build"]
        file.seek(0)
        file.truncate()
        file.write(" ".join(rest))
    return word


def _answer(request: BuildRequest) -> list[Build]:
    word = _next()
    answer: list[Build] = [Built(name, (), (), {}, (), 0) for name in request.schedules]
    text = msgspec.json.encode(answer)
    descriptor = 3  # of the answers: the first that serve opens
    if word == "half":
        os.write(descriptor, text[: len(text) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "nonsense":
        os.write(descriptor, b"}{\n")
    if word == "silence":
        os.close(descriptor)
        time.sleep(60)
    if word == "hang":
        time.sleep(60)
    if word == "exit":
        print("std::bad_alloc", file=sys.stderr)
        os._exit(1)
    if word.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[word])
        time.sleep(60)
    return answer
