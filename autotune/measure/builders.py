"""Builder processes: all candidates of a batch, shared out among the cores.

A share becomes one shared library, because LLVM and the linker take long to start. Whatever a
candidate does to its builder costs that candidate alone: where a builder is lost, each of its share
is built once more, by itself in a new one. A builder that was lost before it was asked, to the
kernel's killer of those who take much memory, say, costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from luthier.schedules import Schedule, Target, ToolchainError, Workload
from luthier.schedules.target import available_cores

from ..records.record import Outcome
from .messages import Build, BuildRequest, Failed
from .worker import Worker, WorkerLost, wait_any

_MOST_BUILDERS = 8
_LARGEST_SHARE = 8
_DEAF = 5  # builders in a row that do not take a request
_SERVED = 1000  # a builder is replaced after so many shares: LLVM and TVM keep some memory


@dataclass(frozen=True)
class _Share:
    """Which schedules a worker builds together, and whether it is for the second time."""

    indices: tuple[int, ...]
    again: bool = False


@dataclass(frozen=True)
class _Task:
    """A share, the slot of the worker that builds it, and until when (``time.monotonic``)."""

    share: _Share
    slot: int
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
    ) -> list[Build]:
        """What becomes of each schedule.

        A share that takes longer than ``seconds`` is given up. Libraries and constants lie in
        ``folder``. Raises ToolchainError where no builder can be started.
        """
        answers: dict[int, Build] = {}
        waiting = deque(_shares(len(schedules), len(self._workers)))
        busy: dict[Worker, _Task] = {}
        try:
            while waiting or busy:
                for slot in self._idle(busy)[: len(waiting)]:
                    share = waiting.popleft()
                    request = self._request(workload, [schedules[i] for i in share.indices], folder)
                    busy[self._asked(slot, request)] = _Task(share, slot, monotonic() + seconds)
                for worker in self._done(busy):
                    task = busy.pop(worker)
                    built = self._receive(worker, task)
                    if built is None:
                        waiting.extend(_Share((i,), again=True) for i in task.share.indices)
                    else:
                        answers.update(zip(task.share.indices, built, strict=True))
        except BaseException:  # their answers must not be taken for those to a later request
            for worker, task in busy.items():
                worker.stop()
                self._workers[task.slot] = None
            raise
        return [answers[i] for i in range(len(schedules))]

    def _done(self, busy: dict[Worker, _Task]) -> set[Worker]:
        """Those that have answered or have had their time, once there are any."""
        first = min(task.deadline for task in busy.values())
        ready = wait_any(list(busy), first - monotonic())
        return {*ready, *(w for w, task in busy.items() if task.deadline <= monotonic())}

    def _idle(self, busy: dict[Worker, _Task]) -> list[int]:
        taken = {task.slot for task in busy.values()}
        return [slot for slot in range(len(self._workers)) if slot not in taken]

    def _worker(self, slot: int) -> Worker:
        """The slot's worker, started where there is none or the old one has served its time."""
        worker = self._workers[slot]
        if worker is not None and worker.served >= _SERVED:
            worker.stop()
            worker = None
        if worker is None:
            worker = Worker("luthier.autotune.measure.builder", self._folder)
            self._workers[slot] = worker
        return worker

    def _request(
        self, workload: Workload, schedules: Sequence[Schedule], folder: Path
    ) -> BuildRequest:
        names = [f"c{self._names + i}" for i in range(len(schedules))]
        self._names += len(schedules)
        named = dict(zip(names, schedules, strict=True))
        return BuildRequest(workload.text, self._target.machine, named, str(folder), self._seed)

    def _asked(self, slot: int, request: BuildRequest) -> Worker:
        """The slot's worker, or one in its place, once it has the request."""
        for _ in range(_DEAF):
            worker = self._worker(slot)
            try:
                worker.send(request)
            except WorkerLost as lost:
                self._workers[slot], last = None, lost
            else:
                return worker
        raise ToolchainError(f"cannot build candidates: the process for it {last}, {_DEAF} times")

    def _receive(self, worker: Worker, task: _Task) -> list[Build] | None:
        """Its answers; None where what it was to build should be tried again."""
        try:
            return worker.receive(task.deadline, list[Build])
        except WorkerLost as lost:
            self._workers[task.slot] = None
            if not task.share.again:
                return None
            outcome = Outcome.TIMED_OUT if lost.timed_out else Outcome.BUILD_FAILED
            return [Failed(outcome, f"the build {lost}", lost.limit)]


def _shares(count: int, builders: int) -> list[_Share]:
    size = min(_LARGEST_SHARE, -(-count // builders))
    return [_Share(tuple(range(i, min(count, i + size)))) for i in range(0, count, size or 1)]
