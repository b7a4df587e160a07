"""Recurrent layers against other engines, into RESULTS.md.

python -m bench.recurrent                          all sizes, 1 and 2 threads
python -m bench.recurrent --ops LSTM --hidden 256 --steps 32 --threads 1 --print
python -m bench.recurrent --ops BiLSTMx2 --hidden 256 --steps 32 --print    two layers, both ways

All run the same file, but torch, which has the same weights in layers of its own.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import onnx
from rich.console import Console

import luthier
from bench import recurrent_layers, results
from bench.kept import Kept, kept
from bench.standings import markdown
from bench.turns import OURS, OURS_IN_C, ROUNDS, SEED, Contender, Entry, Row, in_turns
from luthier.inputs.samples import random_inputs

# By label; C calls all but torch, which has no such interface.
ENGINES = {
    "onnxruntime": "onnxruntime_loop",
    "openvino": "openvino_loop",
    "torch": "torch_layer",
}
PEERS = tuple(ENGINES)
SECONDS = 0.1  # of one engine's turn
OPS, HIDDEN, BATCHES, STEPS = ("LSTM", "GRU"), (64, 128, 256, 512, 1024), (1, 8), (1, 32, 512)
_READING = """\
Milliseconds of Luthier with default schedules, and times as fast as the others; the last column is
against the best of them. Medians of {rounds} rounds in turns, through C APIs with bound buffers
but for torch. Against the best: {mean:.2f} in
geometric mean, {least:.2f} at least."""

console = Console(stderr=True)


Case = tuple[str, int, int, int, int]
"""Operator, hidden units, batch, steps, threads."""


def built(store: Kept, case: Case) -> tuple[Path, Path]:
    """The model and the library of a size."""
    op, hidden, batch, steps, threads = case
    model = store.folder / f"{op}_{hidden}_{batch}_{steps}.onnx"
    if not model.exists():
        recurrent_layers.write(model, op, hidden, batch, steps)

    def build(folder: Path) -> None:
        luthier.build(model, folder, log=None, threads=threads)

    return model, store.built(f"{model.stem}_{threads}", build)


def measured(store: Kept, cases: Sequence[Case], rounds: int) -> list[Row]:
    """All sizes, in one process for each engine."""
    rows = []
    with tempfile.TemporaryDirectory() as text, ExitStack() as stack:
        folder, contenders = Path(text), dict[str, Contender]()
        for label, engine in {OURS: OURS_IN_C, **ENGINES}.items():
            (folder / label).mkdir()
            contenders[label] = Contender(engine, folder / label)
            stack.callback(contenders[label].close)
        for case in cases:
            one = functools.partial(_one, store, case, contenders, folder, rounds)
            rows.append(store.row("{}_{}_{}_{}_{} row".format(*case), one))
            console.print(" ".join(cells(rows[-1])), highlight=False)
    return rows


def _one(
    store: Kept, case: Case, contenders: Mapping[str, Contender], folder: Path, rounds: int
) -> Row:
    model, ours = built(store, case)
    entries = [Entry(OURS, OURS_IN_C, ours)]
    entries += [Entry(label, engine, model) for label, engine in ENGINES.items()]
    name, inputs = "{} {}, batch {}, steps {}".format(*case), random_inputs(onnx.load(model), SEED)
    return in_turns(name, case[-1], entries, contenders, inputs, rounds, folder, SECONDS)


def best(row: Row) -> float:
    """Times as fast as the best peer; raises ValueError where none ran."""
    ratios = [row.ratios(peer, OURS)[1] for peer in PEERS if peer in row.turns]
    return min(ratios)


def cells(row: Row) -> list[str]:
    """A row of the table."""
    peers = (f"{row.ratios(p, OURS)[1]:.2f}" if p in row.turns else row.failures[p] for p in PEERS)
    time = f"{row.milliseconds(OURS):.3f}"
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
    parser.add_argument("--ops", nargs="+", default=OPS, choices=recurrent_layers.KINDS)
    parser.add_argument("--hidden", type=int, nargs="+", default=HIDDEN)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    parser.add_argument("--kept", type=Path, help="folder for libraries and rows, to go on later")
    parser.add_argument("--build", action="store_true", help="only build")
    options = parser.parse_args()
    sizes = (options.ops, options.hidden, options.batches, options.steps, options.threads)
    cases = list(itertools.product(*sizes))
    with kept(options.kept) as store:
        if options.build:
            for case in cases:
                built(store, case)
            return
        rows = measured(store, cases, options.rounds)
    text = table(rows, options.rounds)
    print(text)
    if not options.print:
        results.write("recurrent", results.command("bench.recurrent"), text)


if __name__ == "__main__":
    main()
