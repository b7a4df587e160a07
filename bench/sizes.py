"""One library for all sizes against libraries for one size each, and against others, in RESULTS.md.

python -m bench.sizes                        three models, 1 and 2 threads
python -m bench.sizes minilm --threads 1 --print

ONNX Runtime and OpenVINO have the same file, whose sizes are open to them as well. All take turns.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import luthier
from bench import results
from bench.models import cache_folder, opened
from bench.standings import markdown
from bench.turns import OURS, ROUNDS, SEED, Entry, Row, measure
from luthier.deploy import read_manifest
from luthier.frontend import read_model
from luthier.inputs.samples import random_inputs

PEERS = ("onnxruntime", "openvino")
_TOKENS = (1, 7, 32, 63, 128, 200, 384, 512)
_WORDS = (*((1, n) for n in _TOKENS), (2, 100), (4, 32), (8, 17), (8, 128))
_READING = """\
Times as fast with the sizes of the row: the library for all of them against one that is for these
alone (*of fixed*), and against the others. Default schedules; medians of {rounds} rounds in turns.
*Code*: the library without its weights, and how many times that of one fixed size."""

console = Console(stderr=True)


@dataclass(frozen=True)
class Case:
    """A model whose inputs' dimensions have names, the ranges of these, and sizes to measure."""

    model: str
    dims: Mapping[int, str]
    ranges: Mapping[str, str | tuple[int, ...]]
    sizes: Sequence[tuple[int, ...]]

    def named(self, sizes: tuple[int, ...]) -> dict[str, int]:
        """A choice of sizes by name."""
        return dict(zip(self.ranges, sizes, strict=True))


_TEXT = {0: "batch", 1: "tokens"}, {"batch": "1..8", "tokens": "1..512"}, _WORDS
_BATCHES, _SIDES = [(n,) for n in (1, 2, 3, 5, 8, 16)], [(160,), (224,), (288,)]
CASES = {
    "minilm": Case("minilm_l6_128", *_TEXT),
    "bert": Case("bert_base_128", *_TEXT),
    "resnet18 batches": Case("resnet18", {0: "batch"}, {"batch": "1..16"}, _BATCHES),
    "resnet18 images": Case("resnet18", {2: "side", 3: "side"}, {"side": (160, 224, 288)}, _SIDES),
}


def measured(name: str, threads: Sequence[int], rounds: int) -> list[list[str]]:
    """The rows of a model."""
    case, rows = CASES[name], []
    path = opened(case.model, case.dims, cache_folder())
    with tempfile.TemporaryDirectory() as text:
        whole = Path(text) / "open"
        luthier.build(path, whole, log=None, shapes=case.ranges)
        for sizes in case.sizes:
            named = case.named(sizes)
            fixed = Path(text) / "fixed"
            luthier.build(path, fixed, log=None, shapes=named)
            inputs = random_inputs(read_model(path, named).proto, SEED)
            entries = [Entry("open", OURS, whole), Entry("fixed", OURS, fixed)]
            entries += [Entry(peer, peer, path) for peer in PEERS]
            for count in threads:
                row = measure(name, path, count, entries, rounds, inputs)
                rows.append(_cells(row, named, count))
                console.print(" ".join(rows[-1]), highlight=False)
        rows.append(_means(name, rows, whole, fixed))
        console.print(" ".join(rows[-1]), highlight=False)
    return rows


def _cells(row: Row, sizes: Mapping[str, int], threads: int) -> list[str]:
    """A row of the table."""
    named = ", ".join(f"{name}={n}" for name, n in sizes.items())
    ratios = (_ratio(row, label) for label in ("fixed", *PEERS))
    return [row.model, named, str(threads), f"{row.milliseconds('open'):.2f}", *ratios]


def _ratio(row: Row, label: str) -> str:
    return row.failures.get(label) or f"{row.ratios(label, 'open')[1]:.2f}"


def _means(name: str, rows: Sequence[Sequence[str]], whole: Path, fixed: Path) -> list[str]:
    """Geometric means, and the size of the code."""
    columns = list(zip(*rows, strict=True))[4:]
    numbers = [[float(cell) for cell in column if _is_number(cell)] for column in columns]
    means = (
        f"**{statistics.geometric_mean(each):.2f}** ({min(each):.2f})" if each else ""
        for each in numbers
    )
    code, one = _code(whole), _code(fixed)
    return [name, "mean (least)", "", f"code {code >> 10} KiB, {code / one:.1f}x", *means]


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdigit()


def _code(folder: Path) -> int:
    """Bytes of a library without its weights."""
    manifest = read_manifest(folder)
    return (folder / manifest.library).stat().st_size - manifest.weight_bytes


def main() -> None:
    """Measure the models and write the section."""
    parser = argparse.ArgumentParser(description="One library for all sizes.")
    parser.add_argument("models", nargs="*", default=list(CASES))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    found = [measured(name, options.threads, options.rounds) for name in options.models]
    head = ["model", "sizes", "threads", "ms", "of fixed", *PEERS]
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)], *itertools.chain(*found)]
    text = f"{markdown(rows)}\n\n{_READING.format(rounds=options.rounds)}"
    print(text)
    if not options.print:
        results.write("sizes", results.command("bench.sizes"), text)


if __name__ == "__main__":
    main()
