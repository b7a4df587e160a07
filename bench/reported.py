"""Whether a library is as fast as ``luthier tune`` says, into RESULTS.md.

python -m bench.reported                        five models
python -m bench.reported resnet50 --rounds 3 --print

``luthier tune`` times the tuned library in turns with the default one, ``luthier bench`` the
library alone. Both ways are taken in turns on the same libraries, since the machine's pace changes
within minutes. Both use the default schedules: only the ways of timing are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from rich.console import Console

import luthier
from bench import results
from bench.models import all_models, cache_folder
from bench.standings import markdown, percentages
from luthier.frontend import read_model
from luthier.frontend.program.library import RUN
from luthier.inputs.samples import random_inputs
from luthier.schedules.target import available_cores
from luthier.tuning.timed import in_turns

MODELS = ("squeezenet", "resnet50", "mobilenet_v2", "efficientnet_b0", "bert_base_128")
_HEAD = ("model", "reported, ms", "deployed, ms", "deployed / reported")
_READING = """\
*Reported* is the time that `luthier tune` would end with, *deployed* the median of `luthier bench`
of the same library, here with default schedules; their ratio is the median of {rounds} rounds in
turns, and the range."""

console = Console(stderr=True)


def measured(name: str, path: Path, rounds: int) -> list[str]:
    """The cells of a model's row."""
    threads = available_cores()
    with tempfile.TemporaryDirectory() as text:
        first, second = Path(text) / "first", Path(text) / "second"
        for folder in (first, second):
            luthier.build(path, folder, log=None)
        inputs = {RUN: random_inputs(read_model(path).proto, 0)}
        reported, deployed = [], []
        for _ in range(rounds):
            reported.append(in_turns([first, second], inputs, threads).seconds[1] * 1e3)
            deployed.append(luthier.bench(second).median)
    ratios = tuple(d / t for t, d in zip(reported, deployed, strict=True))
    medians = (f"{statistics.median(times):.2f}" for times in (reported, deployed))
    cells = [name, *medians, percentages(ratios)]
    console.print(" ".join(cells), highlight=False)
    return cells


def main() -> None:
    """Measure the models and write the section."""
    parser = argparse.ArgumentParser(description="The reported time beside the deployed one.")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    models = all_models(cache_folder())
    rows = [measured(name, models[name], options.rounds) for name in options.models]
    text = markdown([list(_HEAD), ["---", *["---:"] * 3], *rows])
    text = f"{text}\n\n{_READING.format(rounds=options.rounds)}"
    print(text)
    if not options.print:
        command = results.command("bench.reported")
        results.write("reported", command, text)


if __name__ == "__main__":
    main()
