"""Batch after batch until the time is up: settings drawn, workers kept busy, outcomes counted."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from luthier.schedules.target import host_level

from .case import Setting
from .judge import Verdict
from .worker import file_name
from .workers import DeadError, Worker

LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
BATCH = 12  # graphs in one library
_APART = 0.25  # of the batches
SECONDS = 120.0  # without a word from a worker
_FINDS = {v.value for v in Verdict if v.is_find}


@dataclass(frozen=True)
class Find:
    """A fault: what kind, of which seed and setting, and where its case lies."""

    verdict: str
    detail: str
    seed: str
    setting: Setting
    operators: tuple[str, ...]
    folder: Path


@dataclass
class Tally:
    """What was tried, and what was found."""

    seed: int
    graphs: int = 0
    nodes: int = 0
    sized: int = 0
    builds: int = 0
    elements: int = 0
    judged: int = 0
    seconds: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    settings: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)

    def add(self, outcome: dict[str, Any], setting: Setting, folder: Path) -> None:
        """Count one graph."""
        self.graphs += 1
        self.nodes += len(outcome["operators"])
        self.sized += bool(outcome["sizes"])
        self.elements += outcome["elements"]
        self.judged += outcome["judged"]
        self.verdicts[outcome["verdict"]] += 1
        self.operators.update(outcome["operators"])
        self.refusals.update(outcome["refusals"])
        self.settings[f"{setting.level}, {setting.threads} thread(s)"] += 1
        if outcome["verdict"] in _FINDS:
            place = folder / file_name(outcome["seed"])
            operators = tuple(outcome["operators"])
            about = outcome["verdict"], outcome["detail"], outcome["seed"]
            self.finds.append(Find(*about, setting, operators, place))


Batch = tuple[list[str], Setting]
Progress = Callable[[Tally, Sequence[Find]], None]
"""Called after each batch, with what that found."""


def batches(seed: int) -> Iterator[Batch]:
    """Seeds of graphs that make one library, and how it is built; the same for the same seed."""
    levels = LEVELS[: LEVELS.index(host_level()) + 1]
    number = 0
    while True:
        rng = random.Random(f"{seed} {number}")
        schedules = rng.choice((0, 1, 1, 1)) * rng.getrandbits(31)
        accuracy = rng.choice(("strict", "strict", "standard", "balanced"))
        threads, apart = rng.choice((1, 1, 2, 2, 3, 7)), rng.random() < _APART
        setting = Setting(rng.choice(levels), threads, accuracy, schedules, apart)
        yield [f"{seed}:{number * BATCH + i}" for i in range(BATCH)], setting
        number += 1


def search(
    seed: int,
    minutes: float | None,
    graphs: int | None,
    folder: Path,
    jobs: int,
    progress: Progress = lambda tally, new: None,
    program: str = "tests.fuzz.worker",
) -> Tally:
    """Try batches until ``minutes`` are over or ``graphs`` were tried."""
    tally, lock = Tally(seed), Lock()
    begin = time.monotonic()
    todo = _limited(seed, graphs)

    def take() -> Batch | None:
        over = minutes is not None and time.monotonic() - begin > minutes * 60
        with lock:
            return None if over else next(todo, None)

    def work() -> None:
        with Worker(program) as worker:
            while (batch := take()) is not None:
                seeds, setting = batch
                outcomes = tried(worker, seeds, setting, folder)
                with lock:
                    tally.builds += 1
                    known = len(tally.finds)
                    for outcome in outcomes:
                        tally.add(outcome, setting, folder)
                    tally.seconds = time.monotonic() - begin
                    progress(tally, tally.finds[known:])

    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(work) for _ in range(jobs)]:
            done.result()
    tally.finds.sort(key=lambda find: [int(part) for part in find.seed.split(":")])
    return tally


def _limited(seed: int, graphs: int | None) -> Iterator[Batch]:
    """Batches of ``graphs`` in all."""
    tried = 0
    for seeds, setting in batches(seed):
        some = seeds if graphs is None else seeds[: graphs - tried]
        if not some:
            return
        tried += len(some)
        yield some, setting


def tried(worker: Worker, seeds: list[str], setting: Setting, folder: Path) -> list[dict[str, Any]]:
    """The outcomes of a batch; where the worker dies, those of its graphs one by one."""
    request = {"grow": seeds, "setting": asdict(setting), "folder": str(folder)}
    try:
        return worker.ask(request, SECONDS)
    except DeadError as error:
        if len(seeds) > 1:
            return [o for seed in seeds for o in tried(worker, [seed], setting, folder)]
        return [dead(seeds[0], error)]


def dead(seed: str, error: DeadError) -> dict[str, Any]:
    """The outcome of a graph that ended its worker."""
    verdict = Verdict.HANG if error.hung else Verdict.CRASH
    if error.doing in ("grow", "judge"):  # a reference's fault, and none of ours
        verdict = Verdict.REFUSED
    return {
        "seed": seed,
        "verdict": verdict.value,
        "detail": str(error),
        "judged": 0,
        "elements": 0,
        "operators": [],
        "refusals": [],
        "sizes": 0,
    }
