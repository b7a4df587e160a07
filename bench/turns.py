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

from luthier._samples import random_inputs

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
        self.label = entry.label
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
            raise RuntimeError(f"{self.label} died while it was timed: {self.failure}")
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
    model: str, path: Path, threads: int, entries: Sequence[Entry], rounds: int = ROUNDS
) -> Row:
    """Time the entries on one model, the first being the one that must run.

    Raises ValueError where it does not, or where outputs differ.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        np.savez(folder / "inputs.npz", **random_inputs(onnx.load(path), SEED))  # type: ignore[arg-type]
        all_ = [stack.enter_context(_contender(e, threads, folder)) for e in entries]
        able = [c for c in all_ if c.ready]
        failures = {c.label: c.failure for c in all_ if not c.ready}
        if all_[0].label in failures:
            raise ValueError(f"{model}: {all_[0].label} fails: {all_[0].failure}")
        _compare(model, [c.label for c in able], folder)
        turns: dict[str, list[float]] = {c.label: [] for c in able}
        for _ in range(rounds):
            for contender in able:
                turns[contender.label].append(contender.turn())
    return Row(model, threads, turns, failures)


def _compare(model: str, labels: Sequence[str], folder: Path) -> None:
    """All outputs against the first entry's."""
    ours, *others = (dict(np.load(folder / f"{label}.npz")) for label in labels)
    for label, outputs in zip(labels[1:], others, strict=True):
        for name, array in ours.items():
            if not np.allclose(outputs[name], array, RTOL, ATOL):
                raise ValueError(f"{model}: '{name}' of {label} differs from {labels[0]}'s")
