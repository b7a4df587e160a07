"""Models in fewer bits beside their float32: rows, their table, and the loop that measures them."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

import luthier
from bench import results
from bench.standings import markdown
from bench.turns import OURS, ROUNDS, Array, Row
from luthier.schedules.target import available_cores

FLOAT = "float32"  # Luthier's own of the same model
console = Console(stderr=True)


@dataclass(frozen=True)
class Measured:
    """A row, and how near our outputs are to what they are compared with."""

    row: Row
    exact: float

    def to_json(self) -> str:
        """One line."""
        return json.dumps({**asdict(self.row), "exact": self.exact})

    @staticmethod
    def from_json(line: str) -> Measured:
        """Of such a line."""
        fields = json.loads(line)
        return Measured(exact=fields.pop("exact"), row=Row(**fields))


@dataclass(frozen=True)
class Form:
    """What a table is of: the labels of the ``peers``, what its last column is headed by, and what
    follows it, with {rounds}, {mean} and {least} against the best peer, and {gain}, against
    float32."""

    peers: Sequence[str]
    exact: str
    reading: str

    def cells(self, measured: Measured) -> list[str]:
        """A row of the table, with how many times as long the others take."""
        row = measured.row

        def ratio(label: str) -> str:
            if label not in row.turns:
                return row.failures[label]
            return "{1:.2f} ({0:.2f} to {2:.2f})".format(*row.ratios(label, OURS))

        time = f"{row.milliseconds(OURS):.3f}"
        others = map(ratio, (*self.peers, FLOAT))
        return [row.model, str(row.threads), time, *others, f"{measured.exact:.5f}"]

    def table(self, found: Sequence[Measured], rounds: int) -> str:
        """With what it says in all."""
        head = ["model", "threads", "ms", *self.peers, FLOAT, self.exact]
        lines = [head, ["---", *["---:"] * (len(head) - 1)], *map(self.cells, found)]
        rows = [each.row for each in found]
        against = [
            min(row.ratios(peer, OURS)[1] for peer in self.peers if peer in row.turns)
            for row in rows
            if any(peer in row.turns for peer in self.peers)
        ]
        gains = [row.ratios(FLOAT, OURS)[1] for row in rows]
        said = self.reading.format(
            rounds=rounds,
            mean=statistics.geometric_mean(against),
            least=min(against),
            gain=statistics.geometric_mean(gains),
        )
        return f"{markdown(lines)}\n\n{said}"


def correlation(some: Array, other: Array) -> float:
    """Pearson's, of all elements."""
    pair = np.corrcoef(some.ravel().astype(np.float64), other.ravel().astype(np.float64))
    return float(pair[0, 1])


def built(model: Path, artifact: Path, accuracy: str = "standard") -> Path:
    """The library of a model for all threads, built unless it is there already."""
    if not artifact.exists():
        luthier.build(model, artifact, log=None, threads=available_cores(), accuracy=accuracy)
    return artifact


def arguments(about: str) -> argparse.ArgumentParser:
    """What all such benchmarks are told."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("models", nargs="*", help="names of MODELS (default: all)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=Path, help="add the rows to this file; the table has all")
    parser.add_argument("--built", type=Path, help="a folder that keeps the libraries")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    return parser


def run(
    options: argparse.Namespace,
    form: Form,
    measured: Callable[[Path], Iterator[Measured]],
    section: str,
    module: str,
) -> None:
    """Measure what ``measured`` gives, which keeps libraries in a folder, and write the section."""
    with tempfile.TemporaryDirectory() as folder:
        rows = options.rows or Path(folder) / "rows.jsonl"
        for one in measured(options.built or Path(folder)):
            with rows.open("a") as file:
                file.write(one.to_json() + "\n")
            console.print(" ".join(form.cells(one)), highlight=False)
        found = list(map(Measured.from_json, rows.read_text().splitlines()))
    text = form.table(found, options.rounds)
    print(text)
    if not options.print:
        results.write(section, results.command(module), text)
