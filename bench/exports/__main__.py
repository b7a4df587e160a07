"""Exported models against ONNX Runtime, into RESULTS.md.

python -m bench.exports                            all of them, 1 and 2 threads
python -m bench.exports yolo --threads 1 --print

Each library is for all sizes that its users would want; ONNX Runtime has the same file, whose sizes
are open to it as well. Both take turns.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import luthier
from bench import results
from bench.engines import Arrays
from bench.kept import Kept, kept
from bench.models import cache_folder
from bench.standings import markdown
from bench.turns import OURS, ROUNDS, SEED, Entry, Row, measure
from luthier.frontend import read_model
from luthier.inputs.samples import random_inputs

from .models import EXPORTS, Sizes, file

PEER = "onnxruntime"
_READING = """\
Milliseconds with default schedules, and how many times as long ONNX Runtime takes, with the
quartiles, over {rounds} rounds in turns. Each library is for all sizes that are open: {open}.
Against ONNX Runtime: {mean:.2f} in geometric mean, {least:.2f} at least."""

console = Console(stderr=True)


def built(store: Kept, name: str, threads: int) -> tuple[Path, Path]:
    """The model and its library for all sizes."""
    export, path = EXPORTS[name], file(name, cache_folder())

    def build(folder: Path) -> None:
        sizes = {"shapes": export.shapes, "bounds": export.bounds}
        luthier.build(path, folder, log=None, threads=threads, **sizes)

    return path, store.built(f"{name}_{threads}", build)


def measured(
    store: Kept, name: str, threads: Sequence[int], rounds: int
) -> list[tuple[Sizes, Row]]:
    """A model at all of its sizes."""
    rows = []
    for count in threads:
        path, ours = built(store, name, count)
        entries = [Entry(OURS, OURS, ours), Entry(PEER, PEER, path)]
        for sizes in EXPORTS[name].sizes:
            given = inputs(store, name, sizes)
            one = functools.partial(measure, name, path, count, entries, rounds, given)
            rows.append((sizes, store.row(f"{name}_{count}_{_said(sizes)} row", one)))
            console.print(" ".join(cells(*rows[-1])), highlight=False)
    return rows


def inputs(store: Kept, name: str, sizes: Sizes) -> Arrays:
    """Of a model at sizes, random where random ones do."""

    def make() -> Arrays:
        model = read_model(file(name, cache_folder()), dict(sizes))
        return EXPORTS[name].inputs(random_inputs(model.proto, SEED), sizes)

    return store.arrays(f"{name}_{_said(sizes)}", make)


def _said(sizes: Sizes) -> str:
    return "_".join(f"{size}={n}" for size, n in sizes.items())


def cells(sizes: Sizes, row: Row) -> list[str]:
    """A row of the table."""
    named = ", ".join(f"{name}={n}" for name, n in sizes.items())
    times = f"{row.milliseconds(OURS):.3f}"
    ratio = row.failures.get(PEER)
    if ratio is None:
        low, middle, high = row.ratios(PEER, OURS)
        ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})"
    return [row.model, named, str(row.threads), times, ratio]


def table(rows: Sequence[tuple[Sizes, Row]], rounds: int) -> str:
    """With what it says in all."""
    head = ["model", "sizes", "threads", "ms", "ONNX Runtime"]
    lines = [head, ["---", "---", *["---:"] * 3], *(cells(*each) for each in rows)]
    found = [row.ratios(PEER, OURS)[1] for _, row in rows if PEER in row.turns]
    names = dict.fromkeys(row.model for _, row in rows)
    open_ = "; ".join(
        f"{name} {', '.join(f'{s}={_range(said)}' for s, said in EXPORTS[name].shapes.items())}"
        for name in names
        if EXPORTS[name].shapes
    )
    reading = _READING.format(
        rounds=rounds, open=open_, mean=statistics.geometric_mean(found), least=min(found)
    )
    return f"{markdown(lines)}\n\n{reading}"


def _range(said: object) -> str:
    return ",".join(map(str, said)) if isinstance(said, tuple) else str(said)


def main() -> None:
    """Measure the models and write the section."""
    parser = argparse.ArgumentParser(description="Exported models against ONNX Runtime.")
    parser.add_argument("models", nargs="*", default=list(EXPORTS), help="default: all")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    parser.add_argument("--kept", type=Path, help="folder for libraries and rows, to go on later")
    parser.add_argument("--build", action="store_true", help="only build")
    options = parser.parse_args()
    with kept(options.kept) as store:
        if options.build:
            for name, threads in itertools.product(options.models, options.threads):
                built(store, name, threads)
                for sizes in EXPORTS[name].sizes:
                    inputs(store, name, sizes)
            return
        rows = [
            row
            for name in options.models
            for row in measured(store, name, options.threads, options.rounds)
        ]
    text = table(rows, options.rounds)
    print(text)
    if not options.print:
        results.write("exports", results.command("bench.exports"), text)


if __name__ == "__main__":
    main()
