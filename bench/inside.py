"""What kernels won alone, and what of it holds inside their model, into RESULTS.md.

python -m bench.inside                            four models
python -m bench.inside digits --minutes 1 --print

Kernels are tuned alone; a library is built of what won. Then the model itself decides between the
finalists (``luthier tune`` does both), and another one is built. Libraries with defaults, with what
won alone and with what won inside take turns.
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
from bench.standings import markdown
from luthier.frontend import read_model
from luthier.frontend.program.library import RUN
from luthier.inputs.samples import random_inputs
from luthier.schedules.target import available_cores
from luthier.tuning.timed import in_turns

MODELS = ("digits", "squeezenet", "mobilenet_v2", "resnet18")
_HEAD = ("model", "kernels", "trials", "sum of kernels", "model", "model decides", "of kernels")
_READING = """\
How many times as fast as with default schedules. *Sum of kernels*: by their own comparisons; then
the whole model, with the same schedules and after it decided. *Of kernels*: how many get another
schedule, the default among them, than won alone. Medians of {rounds} rounds in turns, and the
range. Tuned for {minutes:g} minutes with an empty log."""

console = Console(stderr=True)


def measured(name: str, path: Path, minutes: float, rounds: int) -> list[str]:
    """The cells of a model's row."""
    threads = available_cores()
    with tempfile.TemporaryDirectory() as text:
        folders = [Path(text) / each for each in ("default", "alone", "inside")]
        log = Path(text) / "log.db"
        alone = luthier.tune(path, minutes=minutes, log=log, timed=False)
        luthier.build(path, folders[0], log=None)
        luthier.build(path, folders[1], log=log)
        inside = luthier.tune(path, trials=1, log=log)
        luthier.build(path, folders[2], log=log)
        inputs = {RUN: random_inputs(read_model(path).proto, 0)}
        turns = [in_turns(folders, inputs, threads).seconds for _ in range(rounds)]
    gains = [[default / each[i] for default, *each in turns] for i in (0, 1)]
    cells = [
        name,
        str(len(alone.kernels)),
        str(alone.trials),
        f"{alone.before / alone.after:.2f}",
        *map(_gain, gains),
        str(inside.model_decided),
    ]
    console.print(" ".join(cells), highlight=False)
    return cells


def _gain(ratios: list[float]) -> str:
    """The median and the range."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    """Measure the models and write the section."""
    parser = argparse.ArgumentParser(description="Schedules alone and inside their model.")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    models = all_models(cache_folder())
    rows = [
        measured(name, models[name], options.minutes, options.rounds) for name in options.models
    ]
    text = markdown([list(_HEAD), ["---", *["---:"] * (len(_HEAD) - 1)], *rows])
    reading = _READING.format(rounds=options.rounds, minutes=options.minutes)
    print(f"{text}\n\n{reading}")
    if not options.print:
        results.write("inside", results.command("bench.inside"), f"{text}\n\n{reading}")


if __name__ == "__main__":
    main()
