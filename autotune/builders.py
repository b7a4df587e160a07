"""Builder processes: all candidates of a batch, shared out among the cores.

A share becomes one shared library, because LLVM and the linker take long to start. Whatever a
candidate does to its builder costs that candidate alone: the others of its share are built again,
each by itself.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from luthier.schedules import Schedule, Target, ToolchainError, Workload
from luthier.schedules.target import available_cores

from .record import Outcome
from .worker import Message, Worker, WorkerLost, wait_any

_MOST_BUILDERS = 8
_LARGEST_SHARE = 8
_SERVED = 1000  # a builder is replaced after so many shares: LLVM and TVM keep some memory


@dataclass(frozen=True)
class _Share:
    """Which schedules a slot's worker builds, and until when (``time.monotonic``)."""

    slot: int
    indices: tuple[int, ...]
    deadline: float


class Builders:
    """One worker for each core."""

    def __init__(self, target: Target, seed: int, folder: Path, count: int | None = None) -> None:
        """Their standard error and temporary files go to ``folder``."""
        self._target, self._seed, self._folder = target, seed, folder
        self._workers: list[Worker | None]
        self._workers = [None] * (count or min(_MOST_BUILDERS, available_cores()))
        self._names = 0

    def start(self) -> None:
        """Start all workers; importing TVM takes them seconds, in which others may work."""
        for slot in range(len(self._workers)):
            self._worker(slot)

    @property
    def pids(self) -> list[int]:
        """Of the workers that have been started."""
        return [worker.pid for worker in self._workers if worker is not None]

    def close(self) -> None:
        """Kill the workers; harmless when repeated."""
        for worker in self._workers:
            if worker is not None:
                worker.stop()
        self._workers = [None] * len(self._workers)

    def build(
        self, workload: Workload, schedules: Sequence[Schedule], folder: Path, seconds: float
    ) -> list[Message]:
        """For each schedule what the runner needs to know, or ``failed`` and ``detail``.

        A share that takes longer than ``seconds`` is given up. Libraries and constants lie in
        ``folder``. Raises ToolchainError where the disk is full.
        """
        answers: list[Message] = [{} for _ in schedules]
        waiting = deque(_shares(len(schedules), len(self._workers)))
        busy: dict[Worker, _Share] = {}
        while waiting or busy:
            for slot in self._idle(busy)[: len(waiting)]:
                worker, indices = self._worker(slot), waiting.popleft()
                busy[worker] = _Share(slot, indices, monotonic() + seconds)
                self._send(worker, workload, [schedules[i] for i in indices], folder)
            first = min(share.deadline for share in busy.values())
            ready = wait_any(list(busy), first - monotonic())
            late = [w for w, share in busy.items() if share.deadline <= monotonic()]
            for worker in {*ready, *late}:
                share = busy.pop(worker)
                built = self._receive(worker, share)
                if built is None:
                    waiting.extend((i,) for i in share.indices)
                else:
                    for i, answer in zip(share.indices, built, strict=True):
                        answers[i] = answer
        return answers

    def _idle(self, busy: dict[Worker, _Share]) -> list[int]:
        taken = {share.slot for share in busy.values()}
        return [slot for slot in range(len(self._workers)) if slot not in taken]

    def _worker(self, slot: int) -> Worker:
        """The slot's worker, started where there is none or the old one has served its time."""
        worker = self._workers[slot]
        if worker is not None and worker.served >= _SERVED:
            worker.stop()
            worker = None
        if worker is None:
            worker = Worker("luthier.autotune.builder", self._folder)
            self._workers[slot] = worker
        return worker

    def _send(
        self, worker: Worker, workload: Workload, schedules: Sequence[Schedule], folder: Path
    ) -> None:
        names = [f"c{self._names + i}" for i in range(len(schedules))]
        self._names += len(schedules)
        request = {
            "workload": workload.to_json(),
            "target": self._target.to_json(),
            "schedules": {n: s.to_json() for n, s in zip(names, schedules, strict=True)},
            "folder": str(folder),
            "seed": self._seed,
        }
        with contextlib.suppress(WorkerLost):  # receive says so
            worker.send(request)

    def _receive(self, worker: Worker, share: _Share) -> list[Message] | None:
        """Its answers; None where nobody can tell whose fault it is that there are none."""
        try:
            answer = worker.receive(share.deadline)
        except WorkerLost as lost:
            self._workers[share.slot] = None
            if len(share.indices) > 1:
                return None
            outcome = Outcome.TIMED_OUT if lost.timed_out else Outcome.BUILD_FAILED
            return [{"failed": outcome.value, "detail": f"the build {lost}"}]
        if "environment" in answer:
            raise ToolchainError(f"cannot build candidates: {answer['environment']}")
        built: list[Message] = answer["built"]
        return built


def _shares(count: int, builders: int) -> list[tuple[int, ...]]:
    size = min(_LARGEST_SHARE, -(-count // builders))
    return [tuple(range(i, min(count, i + size))) for i in range(0, count, size or 1)]
