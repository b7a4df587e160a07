"""Trained models of others against ONNX Runtime, into RESULTS.md.

python -m bench.trained FOLDER --rounds 3
python -m bench.trained FOLDER det.onnx --threads 1 --print

Packages of Python and JavaScript carry trained models, for reading, listening and looking: fetch
some, and put their ONNX files into a folder. Its ``sizes.json`` says of those with open sizes at
which they are built and run: ``{"rec.onnx": {"x": [1, 3, 48, 320]}, "vad.onnx": {"batch": 1}}``.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import luthier
from bench import results
from bench.engines import Arrays
from bench.kept import Kept, kept
from bench.standings import markdown
from bench.turns import OURS, ROUNDS, SEED, Array, Entry, Row, measure
from luthier.deploy import load

PEER = "onnxruntime"
_ROUNDED, _NOTHING = 2e-2, 1e-5
_READING = """\
Milliseconds with default schedules and random inputs, and how many times as long ONNX Runtime
takes, medians of {rounds} rounds in turns. {count} models; with {threads} threads {mean} in
geometric mean, {least} at least. An output is the same if it differs by less than a fiftieth of
its norm, or by less than {nothing:g}: some models are quantised, some scores all but zero."""

console = Console(stderr=True)
Sizes = Mapping[str, Any]


def alike(some: Array, other: Array) -> bool:
    """Whether outputs differ by no more than rounding, in quantised models of 8 bits, may make."""
    difference = some.astype(np.float64) - other
    norm = np.linalg.norm(other.astype(np.float64))
    small = np.abs(difference).max(initial=0) <= _NOTHING
    return bool(small or np.linalg.norm(difference) <= _ROUNDED * norm)


def built(store: Kept, path: Path, sizes: Sizes, threads: int) -> Path:
    """The library of a model."""
    shapes = {name: tuple(n) if isinstance(n, list) else n for name, n in sizes.items()}

    def build(folder: Path) -> None:
        luthier.build(path, folder, log=None, threads=threads, shapes=shapes)

    return store.built(f"{path.stem}_{threads}", build)


def measured(
    store: Kept, path: Path, sizes: Sizes, threads: Sequence[int], rounds: int
) -> list[Row]:
    """A row for each number of threads."""
    rows = []
    for count in threads:
        ours = built(store, path, sizes, count)
        given = inputs(ours)
        entries = [Entry(OURS, OURS, ours), Entry(PEER, PEER, path)]
        one = functools.partial(measure, path.stem, path, count, entries, rounds, given, alike)
        rows.append(store.row(f"{path.stem}_{count} row", one))
        console.print(" ".join(cells([rows[-1]])), highlight=False)
    return rows


def inputs(artifact: Path) -> Arrays:
    """Random ones, of the sizes that a library takes."""
    rng = np.random.default_rng(SEED)
    found: Arrays = {}
    for port in load(artifact).inputs:
        dtype = np.dtype(port.tensor.dtype)
        shape = port.tensor.shape
        if dtype.kind == "f":
            found[port.name] = rng.standard_normal(shape).astype(dtype)
        else:
            found[port.name] = rng.integers(0, 2, shape).astype(dtype)
    return found


def cells(rows: Sequence[Row]) -> list[str]:
    """A line of the table: of one model, with each number of threads."""
    found = [rows[0].model]
    for row in rows:
        failure = row.failures.get(PEER)
        low, middle, high = (0, 0, 0) if failure else row.ratios(PEER, OURS)
        found += [f"{row.milliseconds(OURS):.3f}"]
        found += [failure or f"{middle:.2f} ({low:.2f} to {high:.2f})"]
    return found


def table(rows: Sequence[Sequence[Row]], rounds: int) -> str:
    """With what it says in all."""
    threads = [row.threads for row in rows[0]]
    head = ["model", *(t for n in threads for t in (f"ms, {n}", f"ONNX Runtime, {n}"))]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *map(cells, rows)]
    found = [
        [each[i].ratios(PEER, OURS)[1] for each in rows if PEER in each[i].turns]
        for i in range(len(threads))
    ]
    said = _READING.format(
        rounds=rounds,
        count=len(rows),
        threads=" and ".join(map(str, threads)),
        mean=" and ".join(f"{statistics.geometric_mean(some):.2f}" for some in found),
        least=" and ".join(f"{min(some):.2f}" for some in found),
        nothing=_NOTHING,
    )
    return f"{markdown(lines)}\n\n{said}"


def main() -> None:
    """Measure the models and write the section."""
    parser = argparse.ArgumentParser(description="Trained models against ONNX Runtime.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", help="names of files (default: all)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--kept", type=Path, help="folder for libraries and rows, to go on later")
    parser.add_argument("--build", action="store_true", help="only build")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    said = options.folder / "sizes.json"
    sizes = json.loads(said.read_text()) if said.exists() else {}
    names = options.models or [path.name for path in sorted(options.folder.glob("*.onnx"))]
    rows = []
    with kept(options.kept) as store:
        for name in names:
            model = options.folder / name, sizes.get(name, {})
            try:
                if options.build:
                    for count in options.threads:
                        built(store, *model, count)
                else:
                    rows.append(measured(store, *model, options.threads, options.rounds))
            except (luthier.LuthierError, ValueError) as error:
                console.print(f"{name}: {error}", highlight=False)
    if options.build:
        return
    text = table(rows, options.rounds)
    print(text)
    if not options.print:
        results.write("trained", results.command("bench.trained"), text)


if __name__ == "__main__":
    main()
