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
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from bench.engines import Arrays
from luthier.inputs.samples import random_inputs

OURS, OURS_IN_C = "luthier", "luthier_loop"  # the engine
DIFFERS = "differs"  # how the failure of a peer with other outputs begins
RTOL, ATOL = 1e-3, 1e-4
ROUNDED = 2e-2  # of an output's norm
SEED = 7
ROUNDS = 12
SECONDS = 0.3  # of one engine's turn
PAUSE = 0.02  # until another engine's threads have stopped spinning


@dataclass(frozen=True)
class Entry:
    """What competes: an engine of ``serving`` on a model file or artifact folder, by a label.

    ``compared`` is false of another model, whose outputs are its own.
    """

    label: str
    engine: str
    path: Path
    compared: bool = True


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
        """First quartile, median and third quartile of ``of``'s time over ``to``'s in a turn; of
        one turn, its ratio."""
        ratios = [a / b for a, b in zip(self.turns[of], self.turns[to], strict=True)]
        if len(ratios) == 1:
            return ratios[0], ratios[0], ratios[0]
        low, middle, high = statistics.quantiles(ratios, method="inclusive")
        return low, middle, high


Array: TypeAlias = NDArray[Any]
Alike: TypeAlias = Callable[[Array, Array], bool]


def close(some: Array, other: Array) -> bool:
    """Whether arrays of floats differ by roundings."""
    return bool(np.allclose(some, other, RTOL, ATOL))


def close_when_rounded(some: Array, other: Array) -> bool:
    """Whether they differ by as much as 8 bits of a product's rows do, which partly cancels out."""
    return bool(np.linalg.norm(some - other) <= ROUNDED * np.linalg.norm(some))


class Contender:
    """An engine in a process of its own, which loads one model after the other."""

    def __init__(self, engine: str, folder: Path) -> None:
        self._engine, self._said = engine, folder / f"{engine}.stderr"
        with self._said.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.serving", engine],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it can load a model."""
        return self._process.poll() is None

    def load(self, model: Path, threads: int, inputs: Path, outputs: Path) -> str | None:
        """Run a model once; gives why it could not."""
        try:
            failure: str | None = self._ask([str(model), threads, str(inputs), str(outputs)])
        except RuntimeError as error:
            return str(error)
        return failure

    def turn(self, seconds: float) -> float:
        """Median seconds of a run; raises RuntimeError where it dies."""
        time.sleep(PAUSE)
        return statistics.median(self._ask(seconds))

    def _ask(self, what: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(f"{json.dumps(what)}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            line = ""
        else:
            line = self._process.stdout.readline()
        if not line:
            lines = self._said.read_text().strip().splitlines()
            raise RuntimeError(f"{self._engine} died: {lines[-1] if lines else 'it said nothing'}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def measure(
    model: str,
    path: Path,
    threads: int,
    entries: Sequence[Entry],
    rounds: int = ROUNDS,
    inputs: Arrays | None = None,
    alike: Alike = close,
) -> Row:
    """Time the entries on one model, the first being the one that must run, on random inputs unless
    some are given. ``alike`` says whether an output is the same.

    A peer whose outputs differ from the first entry's fails. Raises ValueError where the first does
    not run, or where one of Luthier's differs from the first peer that runs.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        contenders = {}
        for entry in entries:
            (own := folder / entry.label).mkdir()
            contenders[entry.label] = Contender(entry.engine, own)
            stack.callback(contenders[entry.label].close)
        arrays = random_inputs(onnx.load(path), SEED) if inputs is None else inputs
        return in_turns(model, threads, entries, contenders, arrays, rounds, folder, SECONDS, alike)


def in_turns(
    model: str,
    threads: int,
    entries: Sequence[Entry],
    contenders: Mapping[str, Contender],
    inputs: Arrays,
    rounds: int,
    folder: Path,
    seconds: float,
    alike: Alike = close,
) -> Row:
    """As ``measure``, with processes by label that may have run other models before."""
    np.savez(folder / "inputs.npz", **inputs)  # type: ignore[arg-type]
    failures = {}
    for entry in entries:
        files = folder / "inputs.npz", folder / f"{entry.label}.npz"
        failure = contenders[entry.label].load(entry.path, threads, *files)
        if failure is not None:
            failures[entry.label] = failure
    if entries[0].label in failures:
        raise ValueError(f"{model}: {entries[0].label} fails: {failures[entries[0].label]}")
    compared = [e for e in entries if e.compared and e.label not in failures]
    failures |= _differing(model, compared, folder, alike)
    turns: dict[str, list[float]] = {e.label: [] for e in entries if e.label not in failures}
    for _ in range(rounds):
        for label, times in turns.items():
            times.append(contenders[label].turn(seconds))
    return Row(model, threads, turns, failures)


def _differing(model: str, entries: Sequence[Entry], folder: Path, alike: Alike) -> dict[str, str]:
    """Which peers' outputs differ from Luthier's, and where; see ``measure``."""
    outputs = {e.label: dict(np.load(folder / f"{e.label}.npz")) for e in entries}
    peers = [e.label for e in entries if e.engine not in (OURS, OURS_IN_C)]
    ours = [e.label for e in entries if e.engine in (OURS, OURS_IN_C)]
    for label in ours if peers else ():
        name = _difference(outputs[label], outputs[peers[0]], alike)
        if name is not None:
            raise ValueError(f"{model}: '{name}' of {label} differs from {peers[0]}'s")
    first = outputs[entries[0].label]
    names = {label: _difference(first, outputs[label], alike) for label in peers}
    return {label: f"{DIFFERS} in '{name}'" for label, name in names.items() if name is not None}


def _difference(some: Arrays, others: Arrays, alike: Alike) -> str | None:
    """The first output that is not the same."""
    for name, array in some.items():
        if not alike(others[name], array):
            return name
    return None
