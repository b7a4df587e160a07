"""Recurrent layers against other engines, into RESULTS.md.

python -m bench.recurrent                          all sizes, 1 and 2 threads
python -m bench.recurrent --ops LSTM --hidden 256 --steps 32 --threads 1 --print

All run the same file with one layer, but torch, which has the same weights in a layer of its own.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import luthier
from bench import recurrent_layers, results
from bench.standings import markdown
from bench.turns import OURS_IN_C, ROUNDS, Entry, Row, measure

# By label; C calls all but torch, which has no such interface.
ENGINES = {
    "onnxruntime": "onnxruntime_loop",
    "openvino": "openvino_loop",
    "torch": "torch_layer",
}
PEERS = tuple(ENGINES)
OPS, HIDDEN, BATCHES, STEPS = ("LSTM", "GRU"), (64, 128, 256, 512, 1024), (1, 8), (1, 32, 512)
_READING = """\
Milliseconds of Luthier with default schedules, and times as fast as the others; the last column is
against the best of them. Medians of {rounds} rounds in turns, through C APIs with bound buffers
but for torch. Against the best: {mean:.2f} in
geometric mean, {least:.2f} at least."""

console = Console(stderr=True)


def measured(
    folder: Path, op: str, hidden: int, batch: int, steps: int, threads: int, rounds: int
) -> Row:
    """One size."""
    name = f"{op} {hidden}, batch {batch}, steps {steps}"
    model, ours = folder / "layer.onnx", folder / "layer"
    recurrent_layers.write(model, op, hidden, batch, steps)
    luthier.build(model, ours, log=None, threads=threads)
    entries = [Entry("luthier", OURS_IN_C, ours)]
    entries += [Entry(label, engine, model) for label, engine in ENGINES.items()]
    return measure(name, model, threads, entries, rounds)


def best(row: Row) -> float:
    """Times as fast as the best peer; raises ValueError where none ran."""
    ratios = [row.ratios(peer, "luthier")[1] for peer in PEERS if peer in row.turns]
    return min(ratios)


def cells(row: Row) -> list[str]:
    """A row of the table."""
    peers = (
        f"{row.ratios(p, 'luthier')[1]:.2f}" if p in row.turns else row.failures[p] for p in PEERS
    )
    time = f"{row.milliseconds('luthier'):.3f}"
    return [row.model, str(row.threads), time, *peers, f"**{best(row):.2f}**"]


def table(rows: Sequence[Row], rounds: int) -> str:
    """With what it says in all."""
    head = ["layer", "threads", "ms", *PEERS, "best"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *map(cells, rows)]
    found = [best(row) for row in rows]
    mean = statistics.geometric_mean(found)
    return f"{markdown(lines)}\n\n{_READING.format(rounds=rounds, mean=mean, least=min(found))}"


def main() -> None:
    """Measure the layers and write the section."""
    parser = argparse.ArgumentParser(description="Recurrent layers.")
    parser.add_argument("--ops", nargs="+", default=OPS)
    parser.add_argument("--hidden", type=int, nargs="+", default=HIDDEN)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    rows = []
    sizes = (options.ops, options.hidden, options.batches, options.steps, options.threads)
    with tempfile.TemporaryDirectory() as text:
        for case in itertools.product(*sizes):
            rows.append(measured(Path(text), *case, options.rounds))
            console.print(" ".join(cells(rows[-1])), highlight=False)
    text = table(rows, options.rounds)
    print(text)
    if not options.print:
        results.write("recurrent", results.command("bench.recurrent"), text)


if __name__ == "__main__":
    main()
