"""Measuring in turns: A B C A B C ..., each engine in a process of its own.

While one is timed the others wait. A ratio is taken turn by turn, so that it holds where the
machine's speed drifts. Outputs are compared before anything is timed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from bench.engines import Arrays
from luthier.inputs.samples import random_inputs

OURS = "luthier"  # the engine
DIFFERS = "differs"  # how the failure of a peer with other outputs begins
RTOL, ATOL = 1e-3, 1e-4
SEED = 7
ROUNDS = 12
SECONDS = 0.3  # of one engine's turn
PAUSE = 0.02  # until another engine's threads have stopped spinning


@dataclass(frozen=True)
class Entry:
    """What competes: an engine of ``engines`` on a model file or artifact folder, by a label."""

    label: str
    engine: str
    path: Path


@dataclass(frozen=True)
class Row:
    """Seconds of each entry's turns, by label; ``failures`` says why others could not run."""

    model: str
    threads: int
    turns: dict[str, list[float]]
    failures: dict[str, str]

    def milliseconds(self, label: str) -> float:
        """Median over the turns."""
        return statistics.median(self.turns[label]) * 1e3

    def ratios(self, of: str, to: str) -> tuple[float, float, float]:
        """First quartile, median and third quartile of ``of``'s time over ``to``'s in a turn."""
        pairs = zip(self.turns[of], self.turns[to], strict=True)
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], method="inclusive")
        return low, middle, high


class _Contender:
    def __init__(self, entry: Entry, process: subprocess.Popen[str], said: Path) -> None:
        self.entry = entry
        self._process = process
        self._said = said
        self.ready = self._answer() is not None

    @property
    def failure(self) -> str:
        lines = self._said.read_text().strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def turn(self) -> float:
        """Median seconds of a run."""
        assert self._process.stdin
        time.sleep(PAUSE)
        self._process.stdin.write(f"{SECONDS}\n")
        self._process.stdin.flush()
        times = self._answer()
        if times is None:
            raise RuntimeError(f"{self.entry.label} died while it was timed: {self.failure}")
        return statistics.median(times)

    def _answer(self) -> list[float] | None:
        assert self._process.stdout
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


@contextmanager
def _contender(entry: Entry, threads: int, folder: Path) -> Iterator[_Contender]:
    said = folder / f"{entry.label}.stderr"
    command = [sys.executable, "-m", "bench.engines", entry.engine, str(entry.path), str(threads)]
    with said.open("w") as stderr:
        process = subprocess.Popen(
            [*command, str(folder / "inputs.npz"), str(folder / f"{entry.label}.npz")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        yield _Contender(entry, process, said)
    finally:
        process.kill()
        process.communicate()


def measure(
    model: str,
    path: Path,
    threads: int,
    entries: Sequence[Entry],
    rounds: int = ROUNDS,
    inputs: Arrays | None = None,
) -> Row:
    """Time the entries on one model, the first being the one that must run, on random inputs unless
    some are given.

    A peer whose outputs differ from the first entry's fails. Raises ValueError where the first does
    not run, or where one of Luthier's differs from the first peer that runs.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        arrays = random_inputs(onnx.load(path), SEED) if inputs is None else inputs
        np.savez(folder / "inputs.npz", **arrays)  # type: ignore[arg-type]
        all_ = [stack.enter_context(_contender(e, threads, folder)) for e in entries]
        able = [c for c in all_ if c.ready]
        failures = {c.entry.label: c.failure for c in all_ if not c.ready}
        if entries[0].label in failures:
            raise ValueError(f"{model}: {entries[0].label} fails: {all_[0].failure}")
        failures |= _differing(model, [c.entry for c in able], folder)
        able = [c for c in able if c.entry.label not in failures]
        turns: dict[str, list[float]] = {c.entry.label: [] for c in able}
        for _ in range(rounds):
            for contender in able:
                turns[contender.entry.label].append(contender.turn())
    return Row(model, threads, turns, failures)


def _differing(model: str, entries: Sequence[Entry], folder: Path) -> dict[str, str]:
    """Which peers' outputs differ from Luthier's, and where; see ``measure``."""
    outputs = {e.label: dict(np.load(folder / f"{e.label}.npz")) for e in entries}
    peers = [e.label for e in entries if e.engine != OURS]
    ours = [e.label for e in entries if e.engine == OURS]
    for label in ours if peers else ():
        name = _difference(outputs[label], outputs[peers[0]])
        if name is not None:
            raise ValueError(f"{model}: '{name}' of {label} differs from {peers[0]}'s")
    names = {label: _difference(outputs[entries[0].label], outputs[label]) for label in peers}
    return {label: f"{DIFFERS} in '{name}'" for label, name in names.items() if name is not None}


def _difference(some: Arrays, others: Arrays) -> str | None:
    """The first output that is not the same."""
    for name, array in some.items():
        if not np.allclose(others[name], array, RTOL, ATOL):
            return name
    return None
