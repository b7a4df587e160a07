"""Float32 models in bfloat16 against OpenVINO's and against Luthier's float32, into RESULTS.md.

python -m bench.bfloat16                      every model, 1 and 2 threads
python -m bench.bfloat16 resnet50 --threads 1 --print

Ours are built with ``accuracy="bf16"``; OpenVINO's precision hint is ``bf16``. Both read the same
float32 file. *As float32* is the least correlation of our outputs with those of float32.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
from rich.console import Console

import luthier
from bench import results
from bench.models import cache_folder
from bench.quantized import FLOAT, MODELS, Measured, alike, cells, correlation
from bench.standings import markdown
from bench.turns import OURS, ROUNDS, SEED, Entry, Row, measure
from luthier.inputs.samples import random_inputs
from luthier.schedules.target import available_cores

PEER = "openvino_bf16"
OTHERS = (PEER, FLOAT)
_READING = """\
Milliseconds of Luthier in bfloat16 with default schedules, and times as fast as the others, medians
of {rounds} rounds in turns with their quartiles, through Python. *float32* is Luthier's own.
Against OpenVINO in bfloat16: {mean:.2f} in geometric mean, {least:.2f} at least; against float32:
{gain:.2f}."""

console = Console(stderr=True)


def built(model: Path, folder: Path, accuracy: str) -> Path:
    """The library of a model for all threads, built unless ``folder`` holds it already."""
    artifact = folder / f"{model.stem}.{accuracy}"
    if not artifact.exists():
        threads = available_cores()
        luthier.build(model, artifact, log=None, threads=threads, accuracy=accuracy)
    return artifact


def exactness(path: Path, ours: Path, plain: Path) -> float:
    """The least correlation of an output with that of float32."""
    inputs = random_inputs(onnx.load(path), SEED)
    with luthier.load(ours) as library, luthier.load(plain) as other:
        found, wanted = library.run(inputs), other.run(inputs)
    return min(correlation(found[name], wanted[name]) for name in wanted)


def measured(name: str, threads: int, rounds: int, folder: Path) -> Measured:
    """One model, its float32 beside it; ``folder`` keeps the libraries."""
    path = MODELS[name](cache_folder())
    ours, plain = built(path, folder, "bf16"), built(path, folder, "standard")
    entries = [Entry(OURS, OURS, ours), Entry(PEER, PEER, path)]
    entries.append(Entry(FLOAT, OURS, plain, compared=False))
    row = measure(name, path, threads, entries, rounds, alike=alike)
    return Measured(row, exactness(path, ours, plain))


def table(found: Sequence[Measured], rounds: int) -> str:
    """With what it says in all."""
    rows: list[Row] = [each.row for each in found]
    head = ["model", "threads", "ms", "OpenVINO bf16", FLOAT, "as float32"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *(cells(each, OTHERS) for each in found)]
    against = [row.ratios(PEER, OURS)[1] for row in rows if PEER in row.turns]
    gains = [row.ratios(FLOAT, OURS)[1] for row in rows]
    said = _READING.format(
        rounds=rounds,
        mean=statistics.geometric_mean(against),
        least=min(against),
        gain=statistics.geometric_mean(gains),
    )
    return f"{markdown(lines)}\n\n{said}"


def main() -> None:
    """Measure the models and write the section."""
    parser = argparse.ArgumentParser(description="Float32 models in bfloat16.")
    parser.add_argument("models", nargs="*", help="names of MODELS (default: all)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=Path, help="add the rows to this file; the table has all")
    parser.add_argument("--built", type=Path, help="a folder that keeps the libraries")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = options.built or Path(folder)
        rows = options.rows or Path(folder) / "rows.jsonl"
        for threads in options.threads:
            for name in options.models or MODELS:
                one = measured(name, threads, options.rounds, kept)
                with rows.open("a") as file:
                    file.write(one.to_json() + "\n")
                console.print(" ".join(cells(one, OTHERS)), highlight=False)
        text = table(list(map(Measured.from_json, rows.read_text().splitlines())), options.rounds)
    print(text)
    if not options.print:
        results.write("bfloat16", results.command("bench.bfloat16"), text)


if __name__ == "__main__":
    main()
